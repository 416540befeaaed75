// SPDX-License-Identifier: Apache-2.0
// A line takes one of two ways. If nothing is queued and standard error can take the line at once,
// the thread that logs writes it, under the mutex, so that lines keep their order and no other
// thread wakes up. Else the line is queued, and the writing thread takes the whole queue and writes
// it without the mutex: it may block for as long as the reader sleeps. The queue and its thread are
// never destroyed, because threads may log until the process ends.
#include "base/log_queue.h"

#include <poll.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <climits>
#include <deque>
#include <string>
#include <thread>
#include <utility>

#include "base/clock.h"
#include "base/executor.h"
#include "base/log.h"
#include "base/log_output.h"
#include "base/mutex.h"

namespace penstock {
namespace {

// Enough for some ten thousand lines, while the reader of a pipe pauses.
constexpr size_t kQueueBytesMax = 4 << 20;
constexpr Duration kFlushTime = std::chrono::seconds(1);

// Keeps lines until the writing thread has written them. Thread-safe.
class Queue final {
 public:
  // False: the queue is full, and the line is dropped. Then a later line says how many were, if
  // `reports_drop`.
  bool Write(std::string line, bool reports_drop) EXCLUDES(mutex_);
  // The loop of the writing thread. It never returns.
  void Run() EXCLUDES(mutex_);
  void Flush() EXCLUDES(mutex_);

 private:
  Mutex mutex_;  // held during writes that do not block
  CondVar changed_;
  std::deque<std::string> lines_ GUARDED_BY(mutex_);
  size_t bytes_ GUARDED_BY(mutex_) = 0;
  size_t dropped_ GUARDED_BY(mutex_) = 0;
  bool is_writing_ GUARDED_BY(mutex_) = false;
};

// True if standard error can take a line without blocking: a pipe that is ready takes PIPE_BUF
// bytes.
bool TakesLine(size_t bytes) {
  pollfd file{.fd = STDERR_FILENO, .events = POLLOUT, .revents = 0};
  return bytes <= PIPE_BUF && poll(&file, 1, 0) == 1;
}

bool Queue::Write(std::string line, bool reports_drop) {
  MutexLock lock(mutex_);
  if (lines_.empty() && !is_writing_ && TakesLine(line.size())) {
    WriteLogOutput(line);
    return true;
  }
  if (bytes_ + line.size() > kQueueBytesMax) {
    if (reports_drop) ++dropped_;
    return false;
  }
  bytes_ += line.size();
  lines_.push_back(std::move(line));
  changed_.NotifyAll();
  return true;
}

void Queue::Run() {
  SetThreadName("log");
  for (;;) {
    std::deque<std::string> lines;
    size_t dropped = 0;
    {
      MutexLock lock(mutex_);
      is_writing_ = false;
      changed_.NotifyAll();
      while (lines_.empty()) changed_.Wait(mutex_);
      is_writing_ = true;
      lines.swap(lines_);
      bytes_ = 0;
      dropped = std::exchange(dropped_, 0);
    }
    for (const std::string& line : lines) WriteLogOutput(line);
    // This line goes through the queue too, so it follows the lines that were kept.
    if (dropped > 0)
      PENSTOCK_LOG(kWarning, "{} log lines were dropped, as nobody read standard error", dropped);
  }
}

void Queue::Flush() {
  // With a limit: a reader that has stopped must not keep the process from ending.
  const SteadyTime end = Clock::Real().Now() + kFlushTime;
  MutexLock lock(mutex_);
  while (!lines_.empty() || is_writing_) {
    if (!changed_.WaitUntil(mutex_, end)) return;
  }
}

// Never freed: threads may log until the process ends.
std::atomic<Queue*> queue{nullptr};

}  // namespace

LogQueue::LogQueue() {
  static Queue* const the_queue = [] {
    auto* const made = new Queue;
    std::thread([made] { made->Run(); }).detach();
    return made;
  }();
  queue = the_queue;
  SetLogSink([](std::string line) { queue.load()->Write(std::move(line), /*reports_drop=*/true); });
}

LogQueue::~LogQueue() {
  FlushLog();
  SetLogSink(nullptr);
}

bool WriteLogLines(std::string lines) {
  if (Queue* const used = queue.load())
    return used->Write(std::move(lines), /*reports_drop=*/false);
  WriteLogOutput(lines);
  return true;
}

void FlushLog() {
  if (Queue* const used = queue.load()) used->Flush();
}

}  // namespace penstock
