// SPDX-License-Identifier: Apache-2.0
// The records that wait to be written to one request log.
#pragma once

#include <atomic>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/buffer.h"
#include "base/clock.h"
#include "base/counter.h"
#include "base/metrics/metrics.h"
#include "base/mutex.h"
#include "request_log/log_file.h"
#include "request_log/request_log_options.h"

namespace penstock {

// The state that all queues of a server share with the thread that writes them. Thread-safe. The
// queues count their bytes together, because the limit is one for all of them.
struct LogWriterState {
  explicit LogWriterState(uint64_t bytes) : queue_bytes_max(bytes) {}
  // So many bytes are written at once, without waiting for more. They are still in the processor's
  // cache, and the memory of large requests is soon free for the next ones.
  static constexpr uint64_t kWrittenAtOnce = 1 << 20;

  // Tells the writer that there are records: `bytes` more than `before`. Only the first call after
  // a pause, and the one that completes kWrittenAtOnce, take the lock.
  void Wake(uint64_t before, uint64_t bytes) EXCLUDES(mutex);

  const uint64_t queue_bytes_max;
  std::atomic<uint64_t> queued_bytes{0};
  std::atomic<bool> has_records{false};
  Mutex mutex;
  CondVar wake;
  bool is_stopping GUARDED_BY(mutex) = false;
};

// The queue and the files of one log. Requests append on their own threads; the writer's thread
// takes all that is queued and writes it in batches. Models with the same prefix and format share a
// queue, since they share files. Append and the Drop functions are thread-safe; the rest belongs to
// the writer's thread. `options`, `metrics` and `clock` outlive it.
class RecordQueue final {
 public:
  RecordQueue(const RequestLogsOptions& options, const RequestLogOptions& log,
              std::shared_ptr<LogWriterState> writer, MetricsRegistry& metrics, const Clock& clock);

  bool Matches(const RequestLogOptions& log) const {
    return log.filename_prefix == prefix_ && log.format == file_.format();
  }
  uint64_t queue_bytes_max() const { return writer_->queue_bytes_max; }
  // Sets whether the log has no model any more. A request that was sampled before may still append.
  void set_is_retired(bool is_retired) { is_retired_.store(is_retired); }
  bool is_retired() const { return is_retired_.load(); }

  // Queues a record, or counts that it was dropped because the queues are full. A record of up to
  // 16 KiB is copied; a larger one keeps its memory until it is written. Never waits for the disk.
  void Append(const ByteChain& record) EXCLUDES(mutex_);
  // Counts a record that is over the limit for one record.
  void DropTooLarge() { dropped_large_.Add(); }

  // Writes all that is queued, and counts what could not be written. Small records go in batches of
  // about 1 MiB, large ones of a TFRecord file one by one. Ends the file if it is due.
  void WriteQueued() EXCLUDES(mutex_);
  bool IsEmpty() const EXCLUDES(mutex_);
  SteadyTime rotation_due() const { return file_.rotation_due(); }
  void Close();

 private:
  // Appends a record to batch_ in the form of the file: framed with lengths and masked CRC32C for
  // TFRecord (tensorflow/core/lib/io/record_writer.h), else as a line of JSON.
  void AddToBatch(std::string_view record);
  // Writes batch_ and empties it.
  void WriteBatch();
  // Writes a record of a TFRecord file from where it is.
  void WriteLarge(const ByteChain& record);
  // Writes `records` whole records, and counts them as written or as dropped. Ends the file if it
  // is due.
  void WritePieces(std::span<const std::string_view> pieces, uint64_t records);
  // Logs the error, at most once a minute.
  void Warn(const Status& status);

  const std::string prefix_;
  const std::shared_ptr<LogWriterState> writer_;
  std::atomic<bool> is_retired_{false};
  Counter& records_;
  Counter& bytes_;
  Counter& dropped_full_;
  Counter& dropped_large_;
  Counter& dropped_unwritten_;

  mutable Mutex mutex_;
  std::string small_ GUARDED_BY(mutex_);  // each one behind its length, of 4 bytes
  std::vector<ByteChain> large_ GUARDED_BY(mutex_);

  // The writer's.
  const Clock& clock_;
  LogFile file_;
  std::string batch_;
  uint64_t batch_records_ = 0;
  SteadyTime next_warning_{};
};

}  // namespace penstock
