// SPDX-License-Identifier: Apache-2.0
// The files of one request log, one after the other.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "base/status.h"
#include "request_log/request_log_options.h"

namespace penstock {

// Writes to files "<prefix>-<time>-<process>-<number>.tfrecord" (or ".jsonl") with the mode 0600.
// While a file grows, its name has ".open" at its end. So a file without it is complete.
//
//   LogFile file(options, "resnet", RequestLogFormat::kTfRecord, clock);
//   const std::string_view pieces[] = {head, record, tail};
//   TRY(file.Write(pieces));       // opens a file if none is open
//   TRY(file.RotateIfDue());       // at rotation_due(), or after a write
//
// A file that a crash has left keeps its ".open". One thread at a time.
class LogFile final {
 public:
  // `options` and `clock` outlive it.
  LogFile(const RequestLogsOptions& options, std::string prefix, RequestLogFormat format,
          const Clock& clock)
      : options_(options), prefix_(std::move(prefix)), format_(format), clock_(clock) {}
  ~LogFile() { (void)Close(); }
  LogFile(const LogFile&) = delete;
  LogFile& operator=(const LogFile&) = delete;

  RequestLogFormat format() const { return format_; }
  // Appends whole records, which may come in pieces. After an error none of them is in the file.
  // If the file or its folder was removed, opens another one. Errors: INTERNAL, with the path and
  // the system's reason.
  Status Write(std::span<const std::string_view> pieces);
  // Ends the file if it is large or old enough (file_bytes_max, file_time_max).
  Status RotateIfDue();
  // Ends the file, or removes it if nothing was written. Does nothing if none is open.
  Status Close();
  // When RotateIfDue should be called next. kNoDeadline: no file is open.
  SteadyTime rotation_due() const;

 private:
  Status Open();
  Status Failed(std::string_view step);

  const RequestLogsOptions& options_;
  const std::string prefix_;
  const RequestLogFormat format_;
  const Clock& clock_;
  int file_ = -1;
  std::string path_;  // without ".open"
  uint64_t bytes_ = 0;
  SteadyTime opened_;
};

}  // namespace penstock
