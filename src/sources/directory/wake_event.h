// SPDX-License-Identifier: Apache-2.0
// Wakes a thread that waits for it, and for a file descriptor.
#pragma once

#include "base/clock.h"

namespace penstock {

// Notify: thread-safe. Wait: one thread.
class WakeEvent final {
 public:
  WakeEvent();
  ~WakeEvent();
  WakeEvent(const WakeEvent&) = delete;
  WakeEvent& operator=(const WakeEvent&) = delete;

  // The Wait that runs, or else the next one, returns.
  void Notify();
  // Waits for Notify, until `until`, or for `other_fd` to be readable (-1: none).
  void Wait(int other_fd, SteadyTime until);

 private:
  const int fd_;
};

}  // namespace penstock
