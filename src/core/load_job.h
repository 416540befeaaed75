// SPDX-License-Identifier: Apache-2.0
// One attempt to load a version.
#pragma once

#include <cstdint>
#include <memory>

#include "base/clock.h"
#include "base/status.h"
#include "core/loader.h"
#include "core/servable.h"

namespace penstock::core {

// One load, from its start until its loader has returned for the last time. A hung load lives on
// after its version was given up. Shared by the version and the thread that loads it. Guarded by
// the manager's mutex, except that the load thread calls the loader without it.
struct LoadJob {
  ServableId id;
  uint64_t number = 0;  // unique among all loads of the manager
  std::unique_ptr<Loader> loader;
  ResourceEstimate estimate;
  SteadyTime step_start =
      kNoDeadline;            // when the step got its thread; kNoDeadline: it waits for one
  Duration worked{};          // in the steps that are over
  uint64_t step = 0;          // grows when a step begins or ends; a time-out is for one value
  bool is_cancelled = false;  // the version is not wanted any more
  bool is_hung = false;       // it took too long, and nobody waits for it
  bool is_renewal = false;    // the version serves meanwhile
  int overtaken = 0;          // loads that began before it while it waited for memory
};

// The error of a load that is not wanted any more.
inline Status LoadCancelled() { return absl::CancelledError("Loading of servable cancelled"); }

}  // namespace penstock::core
