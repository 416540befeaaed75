// SPDX-License-Identifier: Apache-2.0
// What the loaded versions of a model really took, and so what its next ones will take.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>

#include "base/mutex.h"
#include "core/loader.h"

namespace penstock {

// One load that was measured, in bytes.
struct MeasuredLoad {
  uint64_t reckoned_bytes = 0;  // what its files, or its backend, made expect
  uint64_t taken_bytes = 0;     // by the loaded version
  std::optional<uint64_t> extra_bytes = std::nullopt;  // by the load, beyond that; none: unknown
};

// Keeps what was measured in the bounds of what can be true. Requests that run meanwhile take and
// free memory too, so that what was measured may be anything.
// - No less than `bytes_min`, which are the version's files: what a runtime maps, or leaves for
//   later, is in memory once requests have used it.
// - No more than a multiple of what was reckoned and an amount beside it, which covers copies in
//   other types and what a runtime sets up for itself at its first load. More would be others', and
//   would keep the model's next version out for want of memory that it does not need.
MeasuredLoad KeepPlausible(const core::MemoryGrowth& growth, uint64_t reckoned_bytes,
                           uint64_t bytes_min);

// By model, what was last measured. Thread-safe.
class MemoryHistory final {
 public:
  void Note(const std::string& model, const std::string& backend, const MeasuredLoad& load)
      EXCLUDES(mutex_);

  // What a version takes that is reckoned at so many bytes: as much more or less as the one that
  // was measured; if none was, just what was reckoned. Another backend's say nothing; `backend`
  // may be empty while it is not known.
  core::ResourceEstimate Estimate(const std::string& model, const std::string& backend,
                                  uint64_t reckoned_bytes) const EXCLUDES(mutex_);

  // Forgets all other models.
  void KeepOnly(const std::set<std::string>& models) EXCLUDES(mutex_);

 private:
  // Memory by size: a part that grows with what is reckoned, and one that does not.
  struct Law {
    double factor = 0;
    uint64_t fixed_bytes = 0;

    static Law From(uint64_t reckoned_bytes, uint64_t bytes);
    uint64_t At(uint64_t reckoned_bytes) const;
  };
  struct Known {
    std::string backend;
    Law taken;
    Law extra;
  };

  mutable Mutex mutex_;
  std::map<std::string, Known> models_ GUARDED_BY(mutex_);
};

}  // namespace penstock
