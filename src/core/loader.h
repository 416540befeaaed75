// SPDX-License-Identifier: Apache-2.0
// How one version of a model gets into memory.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>

#include "base/status.h"
#include "core/servable.h"

namespace penstock::core {

// Memory of one version, in bytes; 0 = unknown, then nothing is reserved.
struct ResourceEstimate {
  uint64_t ram_bytes = 0;         // upper bound of what the loaded version takes
  uint64_t load_extra_bytes = 0;  // what loading takes beyond that, until Load returns
  bool is_measured = false;       // rather than reckoned
};

// What the memory of the process grew by during a load.
struct MemoryGrowth {
  uint64_t bytes = 0;
  uint64_t peak_bytes = 0;  // the most, while it ran; 0: unknown
};

// Loads one version. Cheap to make: a source makes one for every version that it aspires to,
// whether or not it is then loaded. One thread at a time but for Cancel; the manager calls it on
// its load threads.
class Loader {
 public:
  virtual ~Loader() = default;

  // Called before Load; an error counts as a failed load. May be slow.
  virtual StatusOr<ResourceEstimate> EstimateResources() { return ResourceEstimate{}; }

  // The version, ready to serve; destroying it unloads it. Called again when the load is
  // retried: after an error, or when what it had loaded broke and is destroyed. Slow; runs on a
  // thread of low priority. The message of an error should say which file is wrong and why; the
  // manager adds the version's name.
  virtual StatusOr<std::unique_ptr<Servable>> Load() = 0;

  // Called after Load has succeeded: what is taken now; on an error, what was estimated. `growth`
  // is there if nothing else loaded or unloaded meanwhile; what requests took is in it too. May be
  // slow.
  virtual StatusOr<ResourceEstimate> ResourcesTaken(
      [[maybe_unused]] const std::optional<MemoryGrowth>& growth) {
    return EstimateResources();
  }

  // The version is not wanted any more, or its time is up: a Load that runs may end early, with an
  // error. One that is called later begins afresh. On any thread; returns at once.
  virtual void Cancel() {}
};

}  // namespace penstock::core
