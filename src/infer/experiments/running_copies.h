// SPDX-License-Identifier: Apache-2.0
// The copies of requests that shadows run, so that they can be ended before they end by themselves.
#pragma once

#include <atomic>
#include <memory>

#include "absl/container/flat_hash_map.h"
#include "base/cancel.h"
#include "base/mutex.h"
#include "core/servable.h"

namespace penstock {

// What a copy shares with those who may end it. Thread-safe.
struct CopyControl {
  CancelToken cancel;
  std::atomic<bool> gives_parts{false};  // it has given one that was not the last
};

// The copies that are queued or run, by the object that runs them. Thread-safe.
class RunningCopies final {
 public:
  // A copy, and the versions that it keeps loaded. `main` is the version of its request.
  struct Copy {
    std::shared_ptr<CopyControl> control;
    const core::ServableId* main;
    const core::ServableId* target;
  };

  // Adds the copy that `key` stands for. Its ids must stay until Remove.
  void Add(const void* key, Copy copy) EXCLUDES(mutex_);
  void Remove(const void* key) EXCLUDES(mutex_);

  // Cancels the copies that keep this version loaded and answer in parts. The others end soon.
  void EndThoseOf(const core::ServableId& id) EXCLUDES(mutex_);
  // Cancels all copies.
  void EndAll() EXCLUDES(mutex_);

 private:
  template <typename IsMeant>
  void End(IsMeant is_meant) EXCLUDES(mutex_);

  Mutex mutex_;
  absl::flat_hash_map<const void*, Copy> copies_ GUARDED_BY(mutex_);
};

}  // namespace penstock
