// SPDX-License-Identifier: Apache-2.0
#include "infer/experiments/running_copies.h"

#include <memory>
#include <utility>
#include <vector>

namespace penstock {

void RunningCopies::Add(const void* key, Copy copy) {
  const MutexLock lock(mutex_);
  copies_.emplace(key, std::move(copy));
}

void RunningCopies::Remove(const void* key) {
  const MutexLock lock(mutex_);
  copies_.erase(key);
}

template <typename IsMeant>
void RunningCopies::End(IsMeant is_meant) {
  // Without the lock, because a copy may end, and call Remove, while it is cancelled.
  std::vector<std::shared_ptr<CopyControl>> meant;
  {
    const MutexLock lock(mutex_);
    for (const auto& [key, copy] : copies_)
      if (is_meant(copy)) meant.push_back(copy.control);
  }
  for (const auto& control : meant) control->cancel.Cancel();
}

void RunningCopies::EndThoseOf(const core::ServableId& id) {
  End([&id](const Copy& copy) {
    return copy.control->gives_parts && (*copy.main == id || *copy.target == id);
  });
}

void RunningCopies::EndAll() {
  End([](const Copy&) { return true; });
}

}  // namespace penstock
