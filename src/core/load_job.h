// SPDX-License-Identifier: Apache-2.0
// One attempt to load a version.
#pragma once

#include <cstdint>
#include <memory>

#include "base/clock.h"
#include "core/loader.h"
#include "core/servable.h"

namespace penstock::core {

// Shared by the version that is being loaded and the thread that loads it. Under the manager's
// mutex, but that the load thread calls the loader without it.
struct LoadJob {
  ServableId id;
  uint64_t number = 0;  // tells it from all other loads of the manager
  std::unique_ptr<Loader> loader;
  ResourceEstimate estimate;
  SteadyTime step_start =
      kNoDeadline;            // of the step that has a thread; kNoDeadline: it waits for one
  Duration worked{};          // in the steps that are over
  uint64_t step = 0;          // grows when a step begins or ends: tells which time-out is meant
  bool is_cancelled = false;  // not wanted any more
  bool is_hung = false;       // its time was up; nobody waits for it
  int overtaken = 0;          // by how many loads, while it waited for memory
};

}  // namespace penstock::core
