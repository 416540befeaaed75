// SPDX-License-Identifier: Apache-2.0
// The first line wakes the thread. It then waits a little for more lines, and takes all of them.
// So a busy server pays for a wake-up and a system call every some ten milliseconds, and not for
// each line. The thread and the threads that write lines share one buffer, which each of them holds
// only for as long as it takes to copy a line or to swap it.
#include "observe/line_writer.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <system_error>
#include <thread>
#include <utility>

#include "base/clock.h"
#include "base/executor.h"
#include "base/log.h"
#include "base/log_queue.h"
#include "base/mutex.h"

namespace penstock {
namespace {

constexpr Duration kGatherTime = std::chrono::milliseconds(20);
constexpr Duration kFlushTime = std::chrono::seconds(1);

std::string ErrorText(int error) { return std::generic_category().message(error); }

// A file that lines are appended to. One thread at a time.
class LineFile final {
 public:
  explicit LineFile(const LineWriterOptions& options)
      : path_(options.path),
        asked_by_(options.asked_by),
        move_check_interval_(options.move_check_interval) {}
  ~LineFile() { Close(); }
  LineFile(const LineFile&) = delete;
  LineFile& operator=(const LineFile&) = delete;

  Status Open() {
    Close();
    // Without O_NONBLOCK this would wait for the reader of a named pipe.
    file_ = open(path_.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NONBLOCK,
                 0600);
    if (file_ < 0)
      return InvalidArgument("{}: cannot open {}: {}", asked_by_, path_, ErrorText(errno));
    fcntl(file_, F_SETFL, O_APPEND);  // the thread of the writer may wait
    return OkStatus();
  }

  // False: not all of the lines are written. The reason is logged once, until a write succeeds.
  bool Write(std::string_view lines) {
    FollowMove();
    while (file_ >= 0 && !lines.empty()) {
      const ssize_t written = write(file_, lines.data(), lines.size());
      if (written < 0 && errno == EINTR) continue;
      if (written < 0) break;
      lines.remove_prefix(static_cast<size_t>(written));
    }
    const bool is_whole = lines.empty();
    if (!is_whole && !std::exchange(has_failed_, true))
      PENSTOCK_LOG(kWarning, "{}: cannot write {}: {}", asked_by_, path_, ErrorText(errno));
    if (is_whole && std::exchange(has_failed_, false))
      PENSTOCK_LOG(kInfo, "{}: {} can be written again", asked_by_, path_);
    return is_whole;
  }

 private:
  void Close() {
    if (file_ >= 0) close(std::exchange(file_, -1));
  }

  // Opens the path again if it is not the open file any more.
  void FollowMove() {
    const SteadyTime now = Clock::Real().Now();
    if (now < next_check_) return;
    next_check_ = now + move_check_interval_;
    struct stat at_path {
    }, opened{};
    const bool is_same = file_ >= 0 && fstat(file_, &opened) == 0 &&
                         stat(path_.c_str(), &at_path) == 0 && at_path.st_ino == opened.st_ino &&
                         at_path.st_dev == opened.st_dev;
    if (!is_same) Open().IgnoreError();  // Write reports it
  }

  const std::string path_;
  const std::string asked_by_;
  const Duration move_check_interval_;
  int file_ = -1;
  bool has_failed_ = false;
  SteadyTime next_check_;
};

}  // namespace

// Shared with the thread, which may outlive the writer when it hangs in a write. Thread-safe.
class LineWriter::Queue final {
 public:
  Queue(LineWriterOptions options, Counter& dropped)
      : options_(std::move(options)), file_(options_), dropped_(&dropped) {}

  Status Open() { return options_.path.empty() ? OkStatus() : file_.Open(); }
  void Add(std::string_view line) EXCLUDES(mutex_);
  // The loop of the thread.
  void Run() EXCLUDES(mutex_);
  // Makes the thread write what is there and end, and waits for that for a short time.
  void End() EXCLUDES(mutex_);

 private:
  // Waits for lines and moves them to `lines`. False: the writer has ended.
  bool Take(std::string& lines) EXCLUDES(mutex_);
  bool WriteOut(const std::string& lines);

  const LineWriterOptions options_;
  LineFile file_;  // of the thread, once it runs
  Mutex mutex_;
  CondVar changed_;
  std::string lines_ GUARDED_BY(mutex_);
  bool is_ending_ GUARDED_BY(mutex_) = false;
  bool has_ended_ GUARDED_BY(mutex_) = false;
  Counter* dropped_ GUARDED_BY(mutex_);  // null after End
};

void LineWriter::Queue::Add(std::string_view line) {
  MutexLock lock(mutex_);
  if (lines_.size() + line.size() > options_.queue_bytes_max) return dropped_->Add();
  lines_ += line;
  if (lines_.size() == line.size()) changed_.NotifyOne();
}

bool LineWriter::Queue::Take(std::string& lines) {
  lines.clear();
  MutexLock lock(mutex_);
  while (lines_.empty() && !is_ending_) changed_.Wait(mutex_);
  const SteadyTime until = Clock::Real().Now() + kGatherTime;
  while (!is_ending_ && changed_.WaitUntil(mutex_, until)) {
  }
  lines.swap(lines_);
  return !lines.empty();
}

void LineWriter::Queue::Run() {
  SetThreadName("lines");
  std::string lines;
  while (Take(lines)) {
    if (WriteOut(lines)) continue;
    const auto count = std::count(lines.begin(), lines.end(), '\n');
    MutexLock lock(mutex_);
    if (dropped_ != nullptr) dropped_->Add(static_cast<uint64_t>(count));
  }
  MutexLock lock(mutex_);
  has_ended_ = true;
  changed_.NotifyAll();
}

bool LineWriter::Queue::WriteOut(const std::string& lines) {
  return options_.path.empty() ? WriteLogLines(lines) : file_.Write(lines);
}

void LineWriter::Queue::End() {
  const SteadyTime end = Clock::Real().Now() + kFlushTime;
  MutexLock lock(mutex_);
  is_ending_ = true;
  changed_.NotifyAll();
  while (!has_ended_ && changed_.WaitUntil(mutex_, end)) {
  }
  dropped_ = nullptr;
}

LineWriter::LineWriter(std::shared_ptr<Queue> queue) : queue_(std::move(queue)) {
  // Not joined: a write to a pipe that nobody reads may never return.
  std::thread([queue = queue_] { queue->Run(); }).detach();
}

LineWriter::~LineWriter() { queue_->End(); }

StatusOr<std::unique_ptr<LineWriter>> LineWriter::Open(LineWriterOptions options,
                                                       Counter& dropped) {
  auto queue = std::make_shared<Queue>(std::move(options), dropped);
  TRY(queue->Open());
  return std::unique_ptr<LineWriter>(new LineWriter(std::move(queue)));
}

void LineWriter::Write(std::string_view line) { queue_->Add(line); }

}  // namespace penstock
