// SPDX-License-Identifier: Apache-2.0
// Lets a thread wait for a notification and a file descriptor at the same time.
#pragma once

#include "base/clock.h"

namespace penstock {

// Wakes a waiting thread. It is an eventfd: unlike a condition variable, it can wait for a file
// descriptor too. Notifications before a Wait are not lost; several count as one. Notify:
// thread-safe. Wait: one thread.
class WakeEvent final {
 public:
  WakeEvent();
  ~WakeEvent();
  WakeEvent(const WakeEvent&) = delete;
  WakeEvent& operator=(const WakeEvent&) = delete;

  // Wakes the current Wait, or else the next one.
  void Notify();
  // Returns after Notify, at `until`, or when `other_fd` is readable (-1: none).
  void Wait(int other_fd, SteadyTime until);

 private:
  const int fd_;
};

}  // namespace penstock
