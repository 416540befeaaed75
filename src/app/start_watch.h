// SPDX-License-Identifier: Apache-2.0
// A signal to stop that comes while the server starts.
#pragma once

#include <signal.h>

#include <atomic>
#include <thread>

#include "base/clock.h"

namespace penstock {

// From its construction to its end, ends the process (code 0) when a signal to stop has come and
// the start has not ended some time later: it may hang in a file system that does not answer, and
// nothing can interrupt that. The log says in which step. A signal that the start survives stays
// pending. Thread-safe.
class StartWatch final {
 public:
  // `stops`: signals that every thread blocks.
  StartWatch(const sigset_t& stops, Duration time_to_end);
  ~StartWatch();
  StartWatch(const StartWatch&) = delete;
  StartWatch& operator=(const StartWatch&) = delete;

  // What the start does now, in static text: "reading --x".
  void Enter(const char* step) { step_ = step; }

 private:
  void Watch();
  // False: the start ended first. Takes no signal away.
  bool WaitForSignal() const;

  const Duration time_to_end_;
  const int signals_;  // readable while a signal to stop is pending
  const int ended_;    // readable once the start has ended
  std::atomic<const char*> step_ = "starting";
  std::thread thread_;
};

}  // namespace penstock
