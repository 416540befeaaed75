// SPDX-License-Identifier: Apache-2.0
// Where the targets of a remote model come from. What requests do with them is the business of
// RemoteCore.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/status.h"

namespace penstock::remote {

// A server that requests may go to. Plain data.
struct FoundTarget {
  std::string host;  // a name or an address; of IPv6 without brackets
  uint16_t port = 0;
  std::string name = {};   // what it is called, if `host` is one of several addresses of a name
  bool is_healthy = true;  // false: only if there is no other one

  // True if both are the same server.
  bool IsSame(const FoundTarget& other) const {
    return host == other.host && port == other.port && name == other.name;
  }
  bool operator==(const FoundTarget&) const = default;
};
using TargetList = std::vector<FoundTarget>;

// Finds the targets, and keeps their list up to date: the names of the DNS, or the servers that
// have a version. A new kind of place needs only a new class. Thread-safe.
class TargetSource {
 public:
  // Gets the whole list: soon after Start, and whenever it changes. An error says why it could not
  // be made; the former one stays. Called on loop 0 of RemoteLoops. Must not block.
  using Changed = std::function<void(const StatusOr<TargetList>& targets)>;

  virtual ~TargetSource() = default;

  // Begins to report. Call it once.
  virtual void Start(Changed changed) = 0;
  // A connection to a target has failed. The source may look again before its time.
  virtual void Refresh() = 0;
  // After the return `changed` is not called any more. Blocks for a moment. Called on any thread
  // but those of RemoteLoops, once.
  virtual void Stop() = 0;
};

}  // namespace penstock::remote
