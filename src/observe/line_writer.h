// SPDX-License-Identifier: Apache-2.0
// Writes many lines without blocking the threads that make them.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "base/counter.h"
#include "base/status.h"

namespace penstock {

struct LineWriterOptions {
  std::string path;                  // empty: standard error, through the queue of the log
  std::string asked_by;              // the setting that asked for it, for messages
  size_t queue_bytes_max = 4 << 20;  // lines over this are dropped
  // How often a moved file is noticed.
  Duration move_check_interval = std::chrono::seconds(1);
};

// Keeps lines until its thread writes them, many with one system call. A line is written within
// some ten milliseconds. The file is opened again when another program has moved or removed it, as
// for rotation. A write error is logged once, and the lines are dropped and counted until writes
// succeed again. Thread-safe.
class LineWriter final {
 public:
  // Opens or makes the file, with mode 0600, and starts the thread. `dropped` counts lines that
  // were not written, and must outlive the writer. Errors name the file and `asked_by`.
  static StatusOr<std::unique_ptr<LineWriter>> Open(LineWriterOptions options, Counter& dropped);
  // Waits until the lines are written, but not for long if nobody reads them. The thread is then
  // left behind: a write to a pipe may never return.
  ~LineWriter();
  LineWriter(const LineWriter&) = delete;
  LineWriter& operator=(const LineWriter&) = delete;

  // Adds a copy of the line, with its line end. If the queue is full, drops it. Takes a lock for
  // the time of the copy, and never waits for the disk.
  void Write(std::string_view line);

 private:
  class Queue;
  explicit LineWriter(std::shared_ptr<Queue> queue);

  const std::shared_ptr<Queue> queue_;
};

}  // namespace penstock
