// SPDX-License-Identifier: Apache-2.0
// A request that is sampled makes its record on its own thread and appends it to a queue. One
// thread writes all queues: the disk may be slow, and no request waits for it. The thread waits a
// little after the first record, so that one write has many, but not if they are large. It sleeps
// while there are none.
#include "request_log/request_logs.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <ctime>
#include <map>
#include <set>
#include <system_error>
#include <utility>

#include "base/executor.h"
#include "base/random.h"
#include "request_log/record_queue.h"

namespace penstock {
namespace {

constexpr Duration kGatherTime = std::chrono::milliseconds(50);

// True in the part `rate` of the calls.
bool Draw(double rate) {
  if (rate >= 1) return true;
  constexpr double kRange = 1ULL << 53;
  return static_cast<double>(RandomBits() >> 11) < rate * kRange;
}

}  // namespace

struct RequestLogs::Table {
  std::map<std::string, RequestLogRef, std::less<>> logs;
};

// --- one log

uint64_t RequestLog::record_bytes_max() const { return queue_->queue_bytes_max() / 4; }

void RequestLog::Drop() const { queue_->DropTooLarge(); }

void RequestLog::Append(const AnsweredRequest& answered) const {
  uint64_t bytes = answered.request.bytes();
  for (const ByteChain& response : answered.responses) bytes += response.bytes();
  if (bytes > record_bytes_max()) return Drop();
  queue_->Append(MakeLogRecord(answered, options_.sampling_rate, std::time(nullptr)));
}

// --- all logs

RequestLogs::RequestLogs(RequestLogsOptions options, MetricsRegistry& metrics, const Clock& clock)
    : options_(std::move(options)),
      metrics_(metrics),
      clock_(clock),
      writer_state_(std::make_shared<LogWriterState>(options_.queue_bytes_max)) {}

RequestLogs::~RequestLogs() { Stop(); }

Status RequestLogs::CheckDirectory() const {
  if (!has_directory()) return OkStatus();
  const char* const path = options_.directory.c_str();
  if (mkdir(path, 0700) != 0 && errno != EEXIST) {
    return InvalidArgument("--request_log_directory={}: it cannot be made: {}", path,
                           std::generic_category().message(errno));
  }
  struct stat found {};
  if (stat(path, &found) == 0 && !S_ISDIR(found.st_mode)) {
    return InvalidArgument("--request_log_directory={}: it is {}, not a directory", path,
                           S_ISREG(found.st_mode) ? "a file" : "something else");
  }
  if (access(path, W_OK | X_OK) != 0) {
    return InvalidArgument("--request_log_directory={}: no files can be made in it: {}", path,
                           std::generic_category().message(errno));
  }
  return OkStatus();
}

void RequestLogs::Set(const RequestLogList& list) {
  const MutexLock lock(mutex_);
  std::unique_ptr<Table> next;
  std::set<const RecordQueue*> used;
  for (const auto& [model, options] : list) {
    if (next == nullptr) next = std::make_unique<Table>();
    std::shared_ptr<RecordQueue> queue = QueueFor(options);
    used.insert(queue.get());
    next->logs.emplace(model, std::make_shared<const RequestLog>(options, std::move(queue)));
  }
  for (const auto& queue : queues_) queue->set_is_retired(!used.contains(queue.get()));
  any_.store(next != nullptr, std::memory_order_relaxed);
  const bool is_used = next != nullptr;
  table_.Set(std::move(next));
  if (is_used && !writer_.joinable()) writer_ = std::thread([this] { RunWriter(); });
  writer_state_->Wake(0, 0);  // files of logs that are gone end
}

// Returns the queue of another model with the same files, or a new one.
std::shared_ptr<RecordQueue> RequestLogs::QueueFor(const RequestLogOptions& options) {
  const auto found =
      std::ranges::find_if(queues_, [&](const auto& queue) { return queue->Matches(options); });
  if (found != queues_.end()) return *found;
  return queues_.emplace_back(
      std::make_shared<RecordQueue>(options_, options, writer_state_, metrics_, clock_));
}

RequestLogRef RequestLogs::Sample(std::string_view model) const {
  const ReadMostly<Table>::Reader table(table_);
  if (table.get() == nullptr) return nullptr;
  const auto found = table->logs.find(model);
  if (found == table->logs.end() || !Draw(found->second->options().sampling_rate)) return nullptr;
  return found->second;
}

void RequestLogs::Stop() {
  any_.store(false, std::memory_order_relaxed);
  std::thread writer;
  {
    const MutexLock lock(mutex_);
    writer.swap(writer_);
  }
  if (!writer.joinable()) return;
  {
    MutexLock lock(writer_state_->mutex);
    writer_state_->is_stopping = true;
    writer_state_->wake.NotifyOne();
  }
  writer.join();
}

void RequestLogs::RunWriter() {
  SetThreadName("request_log");
  SteadyTime due = kNoDeadline;
  for (bool is_stopping = false; !is_stopping;) {
    {
      LogWriterState& state = *writer_state_;
      MutexLock lock(state.mutex);
      while (!state.is_stopping && !state.has_records.load() && Clock::Real().Now() < due)
        due == kNoDeadline ? state.wake.Wait(state.mutex)
                           : (void)state.wake.WaitUntil(state.mutex, due);
      const SteadyTime until = Clock::Real().Now() + kGatherTime;
      while (!state.is_stopping && state.queued_bytes.load() < LogWriterState::kWrittenAtOnce &&
             Clock::Real().Now() < until)
        (void)state.wake.WaitUntil(state.mutex, until);
      is_stopping = state.is_stopping;
      state.has_records.store(false);
    }
    due = WriteAll();
  }
  const MutexLock lock(mutex_);
  for (const auto& queue : queues_) queue->Close();
}

// Returns when the next file is due to end.
SteadyTime RequestLogs::WriteAll() {
  std::vector<std::shared_ptr<RecordQueue>> queues;
  {
    const MutexLock lock(mutex_);
    queues = queues_;
  }
  SteadyTime due = kNoDeadline;
  for (const auto& queue : queues) {
    queue->WriteQueued();
    // A late record opens a new file, which ends here too.
    if (queue->is_retired()) queue->Close();
    due = std::min(due, queue->rotation_due());
  }
  queues.clear();
  const MutexLock lock(mutex_);
  // No model and no request has it any more, and Set cannot find it meanwhile.
  std::erase_if(queues_,
                [](const auto& queue) { return queue.use_count() == 1 && queue->IsEmpty(); });
  return due;
}

}  // namespace penstock
