// SPDX-License-Identifier: Apache-2.0
// The interface that loads one version of a model.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>

#include "base/status.h"
#include "core/servable.h"

namespace penstock::core {

// The memory of one version, in bytes. 0: unknown, so nothing is reserved.
struct ResourceEstimate {
  uint64_t ram_bytes = 0;         // upper bound for the loaded version
  uint64_t load_extra_bytes = 0;  // needed in addition, until Load returns
  bool is_measured = false;       // measured rather than estimated
};

// By how much the memory of the process grew during a load.
struct MemoryGrowth {
  uint64_t bytes = 0;
  uint64_t peak_bytes = 0;  // the most at any time of the load; 0: unknown
};

// Loads one version. It must be cheap to make: a source makes one for every aspired version, even
// if that version is never loaded. Opening files belongs into Load.
//
// The order of calls: EstimateResources, then Load as soon as so much memory is reserved, then
// ResourcesTaken. Wrappers add a step to any loader (loading/warm_up_loader.h); they must pass on
// Cancel.
//
// One thread at a time, except Cancel. The manager calls it on its load threads.
class Loader {
 public:
  virtual ~Loader() = default;

  // Called before Load. An error counts as a failed load. May be slow.
  virtual StatusOr<ResourceEstimate> EstimateResources() { return ResourceEstimate{}; }

  // Returns the version, ready to serve. The destructor of the Servable unloads it. Load is called
  // again for a retry: after an error, or after the loaded version broke and was destroyed. It may
  // be slow; it runs on a thread of low priority. The message of an error should say which file is
  // wrong, and why. The manager adds the name of the version.
  virtual StatusOr<std::unique_ptr<Servable>> Load() = 0;

  // Called after Load has succeeded. Returns the memory that the version takes now; on an error the
  // estimate stays. `growth` is set if nothing else loaded or unloaded at that time; it includes
  // the memory that requests took. May be slow.
  virtual StatusOr<ResourceEstimate> ResourcesTaken(
      [[maybe_unused]] const std::optional<MemoryGrowth>& growth) {
    return EstimateResources();
  }

  // Called if the version is not wanted any more, or if the load takes too long. A Load that runs
  // may end early, with an error. A later Load begins from the start. Called on any thread; returns
  // at once.
  virtual void Cancel() {}
};

}  // namespace penstock::core
