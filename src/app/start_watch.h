// SPDX-License-Identifier: Apache-2.0
// Handles a signal to stop that arrives while the server starts.
#pragma once

#include <signal.h>

#include <atomic>
#include <thread>

#include "base/clock.h"

namespace penstock {

// While it exists, ends the process (exit code 0) some time after a signal to stop, if the start
// has not ended by then. The start may hang in a file system that does not answer, and nothing can
// interrupt that. The log says in which step. If the start ends in time, the signal stays pending.
// Thread-safe.
class StartWatch final {
 public:
  // All threads must block the signals `stops`.
  StartWatch(const sigset_t& stops, Duration time_to_end);
  ~StartWatch();
  StartWatch(const StartWatch&) = delete;
  StartWatch& operator=(const StartWatch&) = delete;

  // Sets the current step, in static text such as "reading --x".
  void Enter(const char* step) { step_ = step; }

 private:
  // The loop of the thread.
  void Watch();
  // Waits for a signal, and leaves it pending. Returns false if the start ended first.
  bool WaitForSignal() const;

  const Duration time_to_end_;
  const int signals_;  // readable while a signal to stop is pending
  const int ended_;    // readable once the start has ended
  std::atomic<const char*> step_ = "starting";
  std::thread thread_;
};

}  // namespace penstock
