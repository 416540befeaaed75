// SPDX-License-Identifier: Apache-2.0
// The targets of a remote version, with their connections.
#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "remote/target.h"
#include "remote/target_source.h"

namespace penstock::remote {

// Those that requests may go to now. Immutable.
using Targets = std::vector<std::shared_ptr<Target>>;

// Makes a target for each server that is found. One that is not found any more gets no new
// requests; it ends with the last call to it. Owned by loop 0, but for Close.
class TargetTable final {
 public:
  using Make = std::function<std::shared_ptr<Target>(const FoundTarget&)>;

  explicit TargetTable(Make make) : make_(std::move(make)) {}

  // Takes over a new list. Targets that stay keep their connections, and what is known of them.
  std::shared_ptr<const Targets> Set(const TargetList& list);
  // Ends the connections of all, also of those that have left. Called on any thread, when nothing
  // else is called any more and no request is open.
  void Close();

 private:
  struct Entry {
    FoundTarget found;
    std::shared_ptr<Target> target;
  };

  const Make make_;
  std::vector<Entry> entries_;
  std::vector<std::weak_ptr<Target>> left_;  // those with calls may still live
};

}  // namespace penstock::remote
