// SPDX-License-Identifier: Apache-2.0
// The logs of answered requests, as TensorFlow Serving's logging_config asks for.
#pragma once

#include <atomic>
#include <memory>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "base/clock.h"
#include "base/counter.h"
#include "base/metrics/metrics.h"
#include "base/mutex.h"
#include "base/read_mostly.h"
#include "base/status.h"
#include "request_log/log_record.h"
#include "request_log/request_log_options.h"

namespace penstock {

class RecordQueue;
struct LogWriterState;

// The log of one model. A call holds it from the decision to its end, also when the configuration
// changes meanwhile. Thread-safe.
class RequestLog final {
 public:
  RequestLog(RequestLogOptions options, std::shared_ptr<RecordQueue> queue)
      : options_(std::move(options)), queue_(std::move(queue)) {}

  const RequestLogOptions& options() const { return options_; }
  const std::shared_ptr<RecordQueue>& queue() const { return queue_; }

  // Makes the record of `answered` and queues it, on this thread. Drops and counts it if the queue
  // is full or the record is too large. Never waits for the disk.
  void Append(const AnsweredRequest& answered) const;
  // Counts a request that is not logged because its record is too large.
  void Drop() const;
  // The most bytes that one record may have: a quarter of the queue, so that one record cannot take
  // all of it.
  uint64_t record_bytes_max() const;

 private:
  const RequestLogOptions options_;
  const std::shared_ptr<RecordQueue> queue_;
};
// Shared by the table and the requests that are sampled.
using RequestLogRef = std::shared_ptr<const RequestLog>;

// All logs of a server, and the thread that writes them.
//
//   RequestLogs logs(options, metrics);
//   TRY(logs.CheckDirectory());
//   logs.Set({{"resnet", {.filename_prefix = "resnet", .sampling_rate = 0.01}}});
//   if (RequestLogRef log = logs.Sample("resnet")) log->Append(answered);
//
// The thread starts with the first log. It gathers records for 50 ms before it writes. Thread-safe.
// `metrics` outlives it.
class RequestLogs final {
 public:
  RequestLogs(RequestLogsOptions options, MetricsRegistry& metrics,
              const Clock& clock = Clock::Real());
  // As Stop.
  ~RequestLogs();
  RequestLogs(const RequestLogs&) = delete;
  RequestLogs& operator=(const RequestLogs&) = delete;

  // Makes the directory if there is none, and checks that files can be made in it. INVALID_ARGUMENT
  // names the flag. OK if no directory is set.
  Status CheckDirectory() const;
  bool has_directory() const { return !options_.directory.empty(); }

  // Replaces the logs of all models. Records that are queued are still written, and files that no
  // model has any more end. Waits until no thread reads the former table, so do not call it on an
  // event loop.
  void Set(const RequestLogList& list) EXCLUDES(mutex_);

  // True if any model has a log. If none has, this load is the only cost for a request.
  bool any() const { return any_.load(std::memory_order_relaxed); }
  // Decides by chance whether a request of this model is logged. Null: it is not. Takes no lock.
  RequestLogRef Sample(std::string_view model) const;

  // Writes what is queued, and ends all files. Nothing is logged after it.
  void Stop() EXCLUDES(mutex_);

 private:
  struct Table;

  std::shared_ptr<RecordQueue> QueueFor(const RequestLogOptions& options) REQUIRES(mutex_);
  void RunWriter();
  SteadyTime WriteAll();

  const RequestLogsOptions options_;
  MetricsRegistry& metrics_;
  const Clock& clock_;
  const std::shared_ptr<LogWriterState> writer_state_;
  std::atomic<bool> any_{false};
  ReadMostly<Table> table_;
  Mutex mutex_;  // held while the table is replaced
  std::vector<std::shared_ptr<RecordQueue>> queues_ GUARDED_BY(mutex_);
  std::thread writer_ GUARDED_BY(mutex_);
};

}  // namespace penstock
