// SPDX-License-Identifier: Apache-2.0
// Limits how long a background computation keeps a CPU from a request.
#pragma once

#include <time.h>

#include <optional>

namespace penstock {

// While it exists, the calling thread yields its CPU several thousand times a second if another
// thread waits for it. The kernel may let a thread run until the next clock tick, up to 10 ms, even
// if the thread has used up its share. This is for long computations of low priority in code that
// is not ours. It costs about 1 % of the computation.
//
// It works with a timer that sends the thread SIGURG. So system calls that are not restarted after
// a signal (sleep, poll) may return EINTR. Does nothing if the system gives no timer. Destroy it on
// the thread that made it.
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
