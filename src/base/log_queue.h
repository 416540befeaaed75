// SPDX-License-Identifier: Apache-2.0
// Keeps a slow reader of standard error from blocking the threads that log.
#pragma once

#include <string>

namespace penstock {

// While it exists, a thread writes the lines that standard error cannot take at once. The queue
// between is bounded: further lines are dropped, and their number is logged once the queue has
// space. Without a LogQueue, or while the reader keeps up, the thread that logs writes the line
// itself. The destructor calls FlushLog. The program's main function makes one, before other
// threads. One at a time in a process.
class LogQueue final {
 public:
  LogQueue();
  ~LogQueue();
  LogQueue(const LogQueue&) = delete;
  LogQueue& operator=(const LogQueue&) = delete;
};

// Writes whole lines to standard error, between the lines of the log. False: the queue is full, and
// the lines are dropped. Thread-safe.
[[nodiscard]] bool WriteLogLines(std::string lines);

// Waits until the queue has been written, but not for long if nobody reads it. Call it before
// _exit. Thread-safe.
void FlushLog();

}  // namespace penstock
