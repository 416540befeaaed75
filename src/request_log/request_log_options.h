// SPDX-License-Identifier: Apache-2.0
// How requests are logged.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <string>

#include "base/clock.h"

namespace penstock {

enum class RequestLogFormat {
  kTfRecord,   // tensorflow.serving.PredictionLog messages in TFRecord files
  kJsonLines,  // one JSON object for each line
};

// The log of one model, from its logging_config.
struct RequestLogOptions {
  std::string filename_prefix;  // one path component. Models may share it
  RequestLogFormat format = RequestLogFormat::kTfRecord;
  double sampling_rate = 0;  // the part of the answered requests that is logged: 0 to 1
  bool operator==(const RequestLogOptions&) const = default;
};
// The key is the name of the model.
using RequestLogList = std::map<std::string, RequestLogOptions, std::less<>>;

// The options of all logs together.
struct RequestLogsOptions {
  std::string directory;                // of the files; empty: no model may have a log
  uint64_t queue_bytes_max = 64 << 20;  // records that wait to be written; more are dropped
  uint64_t file_bytes_max = 256 << 20;  // a larger file ends, and the next one begins
  Duration file_time_max = std::chrono::hours(1);  // the same for an older file
};

}  // namespace penstock
