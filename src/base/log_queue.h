// SPDX-License-Identifier: Apache-2.0
// Keeps the threads that log from waiting for whoever reads standard error.
#pragma once

namespace penstock {

// While it lives, a line that standard error cannot take at once is queued, and written by a thread
// as soon as it can be. The queue is bounded: further lines are dropped, and their number is logged
// once there is room. Without it, or while all is read, lines are written by who logs them. The
// destructor is FlushLog. One at a time in a process.
class LogQueue final {
 public:
  LogQueue();
  ~LogQueue();
  LogQueue(const LogQueue&) = delete;
  LogQueue& operator=(const LogQueue&) = delete;
};

// Waits until what is queued has been written; not for long if nobody reads it. Call it before
// _exit. Thread-safe.
void FlushLog();

}  // namespace penstock
