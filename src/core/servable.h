// SPDX-License-Identifier: Apache-2.0
// What the lifecycle core manages, without knowing what it does.
#pragma once

#include <compare>
#include <cstdint>
#include <functional>
#include <string>

#include "base/status.h"

namespace penstock::core {

// A version of a model: the number that its folder is named by. Higher is newer. Not negative.
struct VersionNumber {
  int64_t value = 0;
  auto operator<=>(const VersionNumber&) const = default;
};

// One version of one model.
struct ServableId {
  std::string name;
  VersionNumber version;
  auto operator<=>(const ServableId&) const = default;
  std::string ToString() const { return name + " version " + std::to_string(version.value); }
};

// Hears that a servable can no longer answer, and why. Returns at once; on any thread, also in the
// middle of a request.
using BrokenCallback = std::function<void(Status reason)>;

// Something that was loaded and can be used by many threads at once until its last handle is gone.
// Thread-safe. Destroyed on the manager's unload thread, never in a request.
class Servable {
 public:
  virtual ~Servable() = default;

  // Gives the callback to call once if the servable finds out that it is broken: at once if it
  // knows already. The manager then takes it from service and loads the version again. Called at
  // most once, before requests find the servable, with a lock held: only keep it or call it. The
  // callback may be called until the destructor returns.
  virtual void SetBrokenCallback(BrokenCallback) {}
};

}  // namespace penstock::core
