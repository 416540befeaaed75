// SPDX-License-Identifier: Apache-2.0
#include "config/batching_config.h"

#include <tuple>

#include "config/text_format.h"
#include "penstock/model_options.pb.h"
#include "serving/batching_parameters.pb.h"

namespace penstock {
namespace {

constexpr int64_t kThreadsMax = 1'000'000;

// Checks the sizes, and sets max_batch_size to the last allowed one if it is not set.
Status CheckSizes(BatchingConfig& config) {
  const auto& allowed = config.allowed_batch_sizes;
  if (!allowed.empty() && !config.max_batch_size) config.max_batch_size = allowed.back();
  const int64_t most = config.max_batch_size.value_or(1);
  if (most < 1 || most > batch::kBatchRowsLimit) {
    return InvalidArgument("a max_batch_size of {}; it must be 1 to {}", most,
                           batch::kBatchRowsLimit);
  }
  int64_t before = 0;
  for (const int64_t size : allowed) {
    if (size <= before)
      return InvalidArgument("allowed_batch_sizes with {} after {}; they must ascend from 1 on",
                             size, before);
    before = size;
  }
  if (!allowed.empty() && allowed.back() != most) {
    return InvalidArgument(
        "allowed_batch_sizes that end with {}; the last one must be max_batch_size, {}",
        allowed.back(), most);
  }
  return OkStatus();
}

// Checks settings that this server does not need, because it forms batches in another way.
Status CheckUnused(const tensorflow::serving::BatchingParameters& from) {
  const std::tuple<std::string_view, int64_t> numbers[] = {
      {"batch_timeout_micros", from.batch_timeout_micros().value()},
      {"max_enqueued_batches", from.max_enqueued_batches().value()},
      {"max_execution_batch_size", from.max_execution_batch_size().value()}};
  for (const auto& [name, value] : numbers) {
    if (value < 0) return InvalidArgument("a {} of {}, below 0", name, value);
  }
  return OkStatus();
}

StatusOr<BatchingConfig> Convert(const tensorflow::serving::BatchingParameters& from) {
  BatchingConfig config;
  if (from.has_max_batch_size()) config.max_batch_size = from.max_batch_size().value();
  config.allowed_batch_sizes = {from.allowed_batch_sizes().begin(),
                                from.allowed_batch_sizes().end()};
  // With splitting, the other one limits a run.
  if (from.enable_large_batch_splitting().value() && from.has_max_execution_batch_size())
    config.max_batch_size = from.max_execution_batch_size().value();
  TRY(CheckSizes(config));
  TRY(CheckUnused(from));
  if (from.has_num_batch_threads()) {
    config.num_batch_threads = from.num_batch_threads().value();
    if (*config.num_batch_threads < 1 || *config.num_batch_threads > kThreadsMax)
      return InvalidArgument("a num_batch_threads of {}; it must be 1 to {}",
                             *config.num_batch_threads, kThreadsMax);
  }
  return config;
}

}  // namespace

StatusOr<BatchingConfig> ReadBatching(const config::ModelOptions& options) {
  const config::Batching& from = options.batching();
  BatchingConfig config;
  if (from.has_enabled()) config.enabled = from.enabled();
  if (from.has_max_batch_size()) config.max_batch_size = from.max_batch_size();
  config.allowed_batch_sizes = {from.allowed_batch_sizes().begin(),
                                from.allowed_batch_sizes().end()};
  if (const Status status = CheckSizes(config); !status.ok())
    return InvalidArgument("has a batching with {}", MessageOf(status));
  return config;
}

StatusOr<BatchingConfig> ParseBatchingParameters(std::string_view text, std::string_view file) {
  tensorflow::serving::BatchingParameters parameters;
  TRY(ParseTextFormat(text, file, parameters));
  StatusOr<BatchingConfig> config = Convert(parameters);
  if (!config.ok()) return InvalidArgument("{} has {}", file, MessageOf(config.status()));
  return config;
}

batch::BatchSettings SettingsOf(const BatchingConfig& config, batch::BatchSettings defaults) {
  using batch::BatchMode;
  if (config.enabled) defaults.mode = *config.enabled ? BatchMode::kForced : BatchMode::kOff;
  if (config.max_batch_size) {
    defaults.rows_max = *config.max_batch_size;
    defaults.allowed_rows = config.allowed_batch_sizes;
  }
  if (config.num_batch_threads) defaults.runs = static_cast<uint32_t>(*config.num_batch_threads);
  return defaults;
}

}  // namespace penstock
