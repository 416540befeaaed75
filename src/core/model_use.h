// SPDX-License-Identifier: Apache-2.0
// How lately and how often a model was used.
#pragma once

#include <cstdint>
#include <utility>

#include "base/clock.h"

namespace penstock::core {

// Requests do not notify the manager of a use, as that would cost them a lock: each version only
// counts its handles (lookup.h). So the manager polls these counts, and this class compares each
// poll with the last one. One thread at a time.
class ModelUse final {
 public:
  // `uses`: how many handles were taken to the ready versions so far. `is_in_use`: a handle exists,
  // or a request waits for the model.
  void Poll(uint64_t uses, bool is_in_use, SteadyTime now) {
    const uint64_t seen = std::exchange(uses_seen_, uses);
    recent_uses_ = uses < seen ? uses : uses - seen;  // fewer: other versions are loaded now
    if (recent_uses_ > 0 || is_in_use) last_used_ = now;
  }
  // A version has become ready. That counts as a use, so that it is not unloaded at once.
  void NoteReady(SteadyTime now) { last_used_ = now; }

  Duration IdleTime(SteadyTime now) const { return now - last_used_; }
  // The order for eviction: the least recently used first, then the least used.
  std::pair<SteadyTime, uint64_t> EvictionRank() const { return {last_used_, recent_uses_}; }

 private:
  SteadyTime last_used_;      // at the last poll
  uint64_t uses_seen_ = 0;    // at that poll
  uint64_t recent_uses_ = 0;  // between the last two polls
};

}  // namespace penstock::core
