// SPDX-License-Identifier: Apache-2.0
// Remembers the memory that the versions of a model took, to estimate the next versions better.
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
  uint64_t estimated_bytes = 0;  // the estimate from the files or from the backend
  uint64_t taken_bytes = 0;      // by the loaded version
  // The additional bytes while it was loaded; nullopt: unknown.
  std::optional<uint64_t> extra_bytes = std::nullopt;
};

// Limits a measurement to plausible values. Requests that run during the load take and free memory
// too, so the measured growth of the process may have any value.
// - The result is at least `bytes_min`, the size of the version's files. A runtime may map files or
//   read them later, but they are in memory after requests have used them.
// - The result is at most a multiple of the estimate plus a fixed amount. That covers copies in
//   other types, and the memory that a runtime takes for itself at its first load. More than that
//   belongs to others. If it were counted, the next version might be refused for lack of memory
//   that it does not need.
MeasuredLoad KeepPlausible(const core::MemoryGrowth& growth, uint64_t estimated_bytes,
                           uint64_t bytes_min);

// Keeps the last measurement of each model. Thread-safe.
class MemoryHistory final {
 public:
  // Remembers a load. It replaces the last one of the model.
  void Note(const std::string& model, const std::string& backend, const MeasuredLoad& load)
      EXCLUDES(mutex_);

  // Corrects the estimate `estimated_bytes` by the ratio of measured to estimated bytes of the
  // model's last measured version. Returns it unchanged if none was measured, or if the measurement
  // is from another backend. `backend` may be empty if it is not known yet; then the measurement of
  // any backend is used.
  core::ResourceEstimate Estimate(const std::string& model, const std::string& backend,
                                  uint64_t estimated_bytes) const EXCLUDES(mutex_);

  // Forgets all other models.
  void KeepOnly(const std::set<std::string>& models) EXCLUDES(mutex_);

 private:
  // How memory follows from an estimate: a part that is proportional to it, and a fixed part.
  struct Law {
    double factor = 0;
    uint64_t fixed_bytes = 0;

    static Law From(uint64_t estimated_bytes, uint64_t bytes);
    uint64_t At(uint64_t estimated_bytes) const;
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
