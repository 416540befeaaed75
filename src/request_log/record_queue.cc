// SPDX-License-Identifier: Apache-2.0
// Two ways through the queue. A small record is copied behind the others, because a reference would
// keep the whole body of its request. A large record keeps its memory, because a copy would take
// time on the thread of the request. The limit counts the bytes of all queues together and is taken
// before the lock, so that a full queue costs a request one atomic addition.
//
// The writer swaps the queue with an empty one, and does everything slow without the lock: frames
// and checksums, or JSON, and the write. Small records go in batches of about 1 MiB, so that one
// write has many records. A large record of a TFRecord file is written from where it is. It wakes
// the writer early (kWrittenAtOnce), since it holds the memory of a request until it is written.
#include "request_log/record_queue.h"

#include <chrono>
#include <cstring>
#include <utility>

#include "absl/container/inlined_vector.h"
#include "base/encoding/crc32c.h"
#include "base/log.h"
#include "request_log/log_record.h"

namespace penstock {
namespace {

constexpr size_t kCopiedBytesMax = 16 * 1024;
constexpr size_t kBatchBytes = 1 << 20;
constexpr Duration kWarningInterval = std::chrono::minutes(1);

void AppendNumber(auto number, std::string& to) {
  char bytes[sizeof(number)];
  std::memcpy(bytes, &number, sizeof(number));  // little-endian, as the machine
  to.append(bytes, sizeof(bytes));
}

Counter& Dropped(MetricsRegistry& metrics, const std::string& prefix, std::string reason) {
  return metrics.AddCounter("penstock_request_log_dropped_total",
                            "Sampled requests that are not in the log, by reason.",
                            {{"filename_prefix", prefix}, {"reason", std::move(reason)}});
}

}  // namespace

void LogWriterState::Wake(uint64_t before, uint64_t bytes) {
  const bool completes = before < kWrittenAtOnce && before + bytes >= kWrittenAtOnce;
  const bool is_first = !has_records.load(std::memory_order_relaxed) && !has_records.exchange(true);
  if (!completes && !is_first) return;
  MutexLock lock(mutex);
  wake.NotifyOne();
}

RecordQueue::RecordQueue(const RequestLogsOptions& options, const RequestLogOptions& log,
                         std::shared_ptr<LogWriterState> writer, MetricsRegistry& metrics,
                         const Clock& clock)
    : prefix_(log.filename_prefix),
      writer_(std::move(writer)),
      records_(metrics.AddCounter("penstock_request_log_records_total",
                                  "Requests that are in the log.", {{"filename_prefix", prefix_}})),
      bytes_(metrics.AddCounter("penstock_request_log_bytes_total",
                                "Bytes written to the files of the log.",
                                {{"filename_prefix", prefix_}})),
      dropped_full_(Dropped(metrics, prefix_, "queue_full")),
      dropped_large_(Dropped(metrics, prefix_, "too_large")),
      dropped_unwritten_(Dropped(metrics, prefix_, "write_failed")),
      clock_(clock),
      file_(options, log.filename_prefix, log.format, clock) {}

void RecordQueue::Append(const ByteChain& record) {
  const uint64_t bytes = record.bytes();
  const uint64_t before = writer_->queued_bytes.fetch_add(bytes, std::memory_order_relaxed);
  if (before + bytes > writer_->queue_bytes_max) {
    writer_->queued_bytes.fetch_sub(bytes, std::memory_order_relaxed);
    return dropped_full_.Add();
  }
  {
    MutexLock lock(mutex_);
    if (bytes > kCopiedBytesMax) {
      large_.push_back(record);
    } else {
      AppendNumber(static_cast<uint32_t>(bytes), small_);
      for (const Slice& slice : record.slices()) small_ += slice.view();
    }
  }
  writer_->Wake(before, bytes);
}

bool RecordQueue::IsEmpty() const {
  MutexLock lock(mutex_);
  return small_.empty() && large_.empty();
}

void RecordQueue::WriteQueued() {
  std::string small;
  std::vector<ByteChain> large;
  {
    MutexLock lock(mutex_);
    small.swap(small_);
    large.swap(large_);
  }
  uint64_t bytes = 0;
  for (size_t at = 0; at < small.size();) {
    uint32_t size = 0;
    std::memcpy(&size, small.data() + at, sizeof(size));
    AddToBatch(std::string_view(small).substr(at + sizeof(size), size));
    at += sizeof(size) + size;
    bytes += size;
  }
  WriteBatch();
  for (ByteChain& record : large) {
    bytes += record.bytes();
    if (file_.format() == RequestLogFormat::kTfRecord) {
      WriteLarge(record);
    } else {
      AddToBatch(Flatten(record).view());
    }
    record = {};
  }
  WriteBatch();
  writer_->queued_bytes.fetch_sub(bytes, std::memory_order_relaxed);
  if (const Status status = file_.RotateIfDue(); !status.ok()) Warn(status);
}

// A record of a TFRecord file is its length, the checksum of the length, the data, and the checksum
// of the data.
void RecordQueue::AddToBatch(std::string_view record) {
  if (file_.format() == RequestLogFormat::kTfRecord) {
    const size_t start = batch_.size();
    AppendNumber(static_cast<uint64_t>(record.size()), batch_);
    AppendNumber(MaskedCrc32c(std::string_view(batch_).substr(start)), batch_);
    batch_ += record;
    AppendNumber(MaskedCrc32c(record), batch_);
  } else {
    StatusOr<std::string> line = LogRecordToJson(record);
    if (!line.ok()) {
      Warn(line.status());
      return dropped_unwritten_.Add();
    }
    batch_ += *line;
  }
  ++batch_records_;
  if (batch_.size() >= kBatchBytes) WriteBatch();
}

void RecordQueue::WriteBatch() {
  if (batch_records_ == 0) return;
  const std::string_view pieces[] = {batch_};
  WritePieces(pieces, std::exchange(batch_records_, 0));
  batch_.clear();
  if (batch_.capacity() > 4 * kBatchBytes) batch_ = {};
}

void RecordQueue::WriteLarge(const ByteChain& record) {
  std::string head, tail;
  AppendNumber(uint64_t{record.bytes()}, head);
  AppendNumber(MaskedCrc32c(head), head);
  absl::InlinedVector<std::string_view, 8> pieces = {head};
  uint32_t checksum = 0;
  for (const Slice& slice : record.slices()) {
    pieces.push_back(slice.view());
    checksum = Crc32c(slice.view(), checksum);
  }
  AppendNumber(MaskCrc32c(checksum), tail);
  pieces.push_back(tail);
  WritePieces(pieces, 1);
}

void RecordQueue::WritePieces(std::span<const std::string_view> pieces, uint64_t records) {
  const Status status = file_.Write(pieces);
  if (status.ok()) {
    records_.Add(records);
    for (const std::string_view piece : pieces) bytes_.Add(piece.size());
  } else {
    dropped_unwritten_.Add(records);
    Warn(status);
  }
  if (const Status rotated = file_.RotateIfDue(); !rotated.ok()) Warn(rotated);
}

void RecordQueue::Warn(const Status& status) {
  const SteadyTime now = clock_.Now();
  if (now < next_warning_) return;
  next_warning_ = now + kWarningInterval;
  PENSTOCK_LOG(kWarning, "{}; requests that cannot be logged are counted and dropped",
               MessageOf(status));
}

void RecordQueue::Close() {
  if (const Status status = file_.Close(); !status.ok()) Warn(status);
}

}  // namespace penstock
