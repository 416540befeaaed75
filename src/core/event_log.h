// SPDX-License-Identifier: Apache-2.0
// Delivers events to listeners: in order, one event at a time, with no lock held.
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <thread>
#include <vector>

#include "base/clock.h"
#include "base/mutex.h"
#include "core/model_status.h"

namespace penstock::core {

// The first thread that calls Deliver delivers all queued events, including those that other
// threads queue meanwhile. Deliver returns at once on the other threads. So listeners see the
// events in order and never two at a time, and need no lock for that; but an event may be delivered
// on a thread that has not caused it. Thread-safe.
class EventLog final {
 public:
  // Queues events. They are delivered in the order of the calls. The caller must call Deliver soon,
  // when it holds no lock.
  void Append(std::vector<ManagerEvent> events) EXCLUDES(mutex_);
  void Deliver() EXCLUDES(mutex_);

  // These are Manager's functions of the same names.
  int AddListener(ManagerListener listener) EXCLUDES(mutex_);
  void RemoveListener(int id) EXCLUDES(mutex_);
  bool WaitFor(const std::function<bool()>& condition, SteadyTime until) EXCLUDES(mutex_);

  // True if every event has been delivered.
  bool IsQuiet() EXCLUDES(mutex_);

 private:
  void NotifyNext() REQUIRES(mutex_);

  Mutex mutex_;
  CondVar changed_;
  uint64_t changes_ GUARDED_BY(mutex_) = 0;
  std::deque<ManagerEvent> queue_ GUARDED_BY(mutex_);
  bool delivering_ GUARDED_BY(mutex_) = false;
  std::thread::id delivering_thread_ GUARDED_BY(mutex_);
  std::map<int, std::shared_ptr<ManagerListener>> listeners_ GUARDED_BY(mutex_);
  int next_id_ GUARDED_BY(mutex_) = 1;
};

}  // namespace penstock::core
