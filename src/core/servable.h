// SPDX-License-Identifier: Apache-2.0
// The interface of everything that the core loads and unloads. The core does not know what it does.
#pragma once

#include <compare>
#include <cstdint>
#include <functional>
#include <string>

#include "base/status.h"

namespace penstock::core {

// A version of a model: the number in the name of its folder. Higher is newer. Not negative.
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

// Called when a servable can no longer answer, with the reason. Must return at once. May be called
// on any thread, also in the middle of a request.
using BrokenCallback = std::function<void(Status reason)>;

// A loaded object that many threads can use at the same time, until its last handle is gone.
// Thread-safe. Destroyed on the manager's unload thread, never in a request.
class Servable {
 public:
  virtual ~Servable() = default;

  // Sets the callback that the servable calls once if it finds out that it is broken; at once if it
  // knows already. The manager then takes it from service and loads the version again. The manager
  // calls SetBrokenCallback at most once, before requests find the servable, and holds a lock: so
  // only keep or call the callback. The callback may be called until the destructor returns.
  virtual void SetBrokenCallback(BrokenCallback) {}
};

}  // namespace penstock::core
