// SPDX-License-Identifier: Apache-2.0
// Events must reach listeners in order, and no lock may be held while a listener runs, because
// listeners call the manager. So one thread at a time delivers, and events that come meanwhile wait
// in the queue for the same thread. A thread that queues an event may thus return before it is
// delivered; WaitFor and IsQuiet are for those who must know.
#include "core/event_log.h"

#include <utility>

namespace penstock::core {

void EventLog::Append(std::vector<ManagerEvent> events) {
  MutexLock lock(mutex_);
  for (ManagerEvent& event : events) queue_.push_back(std::move(event));
}

void EventLog::Deliver() {
  MutexLock lock(mutex_);
  // The thread that delivers takes the new events too.
  if (delivering_) return;
  delivering_ = true;
  delivering_thread_ = std::this_thread::get_id();
  while (!queue_.empty()) NotifyNext();
  delivering_ = false;
  ++changes_;
  changed_.NotifyAll();
}

void EventLog::NotifyNext() {
  const ManagerEvent event = std::move(queue_.front());
  queue_.pop_front();
  std::vector<int> ids;
  for (const auto& [id, listener] : listeners_) ids.push_back(id);
  for (const int id : ids) {
    // Search again each time, so that a listener that was removed meanwhile is not called.
    const auto found = listeners_.find(id);
    if (found == listeners_.end()) continue;
    // Shared, because RemoveListener may erase it while it runs.
    const std::shared_ptr<ManagerListener> listener = found->second;
    mutex_.unlock();
    (*listener)(event);
    mutex_.lock();
  }
  ++changes_;
  changed_.NotifyAll();
}

int EventLog::AddListener(ManagerListener listener) {
  MutexLock lock(mutex_);
  listeners_.emplace(next_id_, std::make_shared<ManagerListener>(std::move(listener)));
  return next_id_++;
}

void EventLog::RemoveListener(int id) {
  MutexLock lock(mutex_);
  listeners_.erase(id);
  if (!delivering_ || delivering_thread_ == std::this_thread::get_id()) return;
  // The listener may be running. Wait until the current event is delivered.
  const uint64_t seen = changes_;
  while (delivering_ && changes_ == seen) changed_.Wait(mutex_);
}

bool EventLog::WaitFor(const std::function<bool()>& condition, SteadyTime until) {
  for (;;) {
    uint64_t seen = 0;
    {
      MutexLock lock(mutex_);
      seen = changes_;
    }
    if (condition()) return true;
    MutexLock lock(mutex_);
    while (changes_ == seen) {
      if (until == kNoDeadline) {
        changed_.Wait(mutex_);
      } else if (!changed_.WaitUntil(mutex_, until)) {
        return false;
      }
    }
  }
}

bool EventLog::IsQuiet() {
  MutexLock lock(mutex_);
  return queue_.empty() && !delivering_;
}

}  // namespace penstock::core
