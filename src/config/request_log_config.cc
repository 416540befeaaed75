// SPDX-License-Identifier: Apache-2.0
#include "config/request_log_config.h"

#include <algorithm>

#include "base/log.h"
#include "serving/logging_config.pb.h"

namespace penstock {
namespace {

constexpr size_t kPrefixBytesMax = 100;

// The prefix becomes a part of a file's name. So it must not lead out of the directory.
bool IsPathComponent(std::string_view text) {
  const auto is_bad = [](char c) { return c == '/' || static_cast<unsigned char>(c) < ' '; };
  return !text.empty() && text.size() <= kPrefixBytesMax && text.front() != '.' &&
         std::ranges::none_of(text, is_bad);
}

StatusOr<RequestLogFormat> ReadFormat(std::string_view type) {
  if (type.empty() || type == "tfrecord") return RequestLogFormat::kTfRecord;
  if (type == "jsonl") return RequestLogFormat::kJsonLines;
  return InvalidArgument(
      "has a logging_config of the type '{}'; it may be 'tfrecord', the default, or 'jsonl'", type);
}

}  // namespace

StatusOr<RequestLogOptions> ReadRequestLog(const tensorflow::serving::LoggingConfig& config,
                                           const std::string& model) {
  const auto& sampling = config.sampling_config();
  if (config.has_custom_logging_config() || sampling.attributes() != 0 ||
      sampling.per_task_sampling_configs_size() > 0) {
    return InvalidArgument(
        "has a logging_config with custom_logging_config, attributes or "
        "per_task_sampling_configs, which are not supported; remove them");
  }
  RequestLogOptions log;
  log.filename_prefix = config.log_collector_config().filename_prefix();
  if (log.filename_prefix.empty()) log.filename_prefix = model;
  if (!IsPathComponent(log.filename_prefix)) {
    return InvalidArgument(
        "has a logging_config with the filename_prefix '{}'; it must be one path component of 1 to "
        "{} bytes, without '/', control characters and a '.' at its start; if it is left out, it "
        "is "
        "the model's name",
        log.filename_prefix, kPrefixBytesMax);
  }
  ASSIGN_OR_RETURN(log.format, ReadFormat(config.log_collector_config().type()));
  log.sampling_rate = sampling.sampling_rate();
  if (!(log.sampling_rate >= 0 && log.sampling_rate <= 1)) {
    return InvalidArgument("has a logging_config with a sampling_rate of {}; it must be 0 to 1",
                           log.sampling_rate);
  }
  if (log.sampling_rate == 0) {
    PENSTOCK_LOG(kWarning,
                 "model {} has a logging_config that logs nothing: the sampling_rate of its "
                 "sampling_config is 0, the default; say 1 to log each request",
                 model);
  }
  return log;
}

}  // namespace penstock
