// SPDX-License-Identifier: Apache-2.0
// Limits the runs that a model of a backend has at the same time.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>

#include "absl/functional/any_invocable.h"
#include "base/mutex.h"

namespace penstock {

class HostedRun;

// Gives slots to runs, at most `runs_max` at a time. While all slots are taken, up to kWaitingMax
// runs wait, first come, first served. Thread-safe. Destroy it after its last run has given its
// last part.
class RunQueue final {
 public:
  // The most runs that wait. A further one is refused.
  static constexpr size_t kWaitingMax = 1000;

  // `runs_max`: the number of slots; 0: there is no limit. `start` starts a run that has waited.
  RunQueue(uint32_t runs_max, absl::AnyInvocable<void(HostedRun*) const> start);

  enum class Entry {
    kStart,    // the run has a slot: start it
    kWaits,    // StartNext will start it
    kRefused,  // too many runs wait: end it
  };
  Entry Enter(HostedRun* run) EXCLUDES(mutex_) {
    return runs_max_ == 0 ? Entry::kStart : TakeSlot(run);
  }
  // Call it when a run has ended, also a refused one. Returns the waiting run that gets its slot,
  // or null.
  HostedRun* Leave() EXCLUDES(mutex_) { return runs_max_ == 0 ? nullptr : GiveSlot(); }
  // Starts the run that Leave has returned. If it is called from within itself, it loops instead of
  // nesting, which bounds the stack.
  void StartNext(HostedRun* run) const;

 private:
  Entry TakeSlot(HostedRun* run) EXCLUDES(mutex_);
  HostedRun* GiveSlot() EXCLUDES(mutex_);

  const uint32_t runs_max_;
  const absl::AnyInvocable<void(HostedRun*) const> start_;
  Mutex mutex_;
  // Refused runs count too, until they have ended.
  uint32_t running_ GUARDED_BY(mutex_) = 0;
  std::deque<HostedRun*> waiting_ GUARDED_BY(mutex_);
};

}  // namespace penstock
