// SPDX-License-Identifier: Apache-2.0
// How long a computation in the background may keep a CPU from a request.
#pragma once

#include <time.h>

#include <optional>

namespace penstock {

// While it lives, the calling thread offers its CPU several thousand times a second to whoever
// waits for it. For long computations of low priority in code that is not ours: a thread that the
// kernel has chosen may run to the next tick of the clock, up to 10 ms, even where it is owed far
// less. Costs about 1 % of the computation. The means is a timer that sends the thread SIGURG: a
// system call that signals end for good (sleep, poll) may return EINTR. Where the system gives no
// timer, it does nothing. Destroyed on the thread that made it.
class GiveWay final {
 public:
  GiveWay();
  ~GiveWay();
  GiveWay(const GiveWay&) = delete;
  GiveWay& operator=(const GiveWay&) = delete;

 private:
  std::optional<timer_t> timer_;
};

}  // namespace penstock
