// SPDX-License-Identifier: Apache-2.0
#include "config/batching_config.h"

#include <tuple>

#include "config/text_format.h"
#include "penstock/model_options.pb.h"
#include "serving/batching_parameters.pb.h"

namespace penstock {
namespace {

constexpr int64_t kThreadsMax = 1'000'000;
constexpr int64_t kEnqueuedMax = 1'000'000'000;
constexpr int64_t kDelayUsMax = 3'600'000'000;

// Returns an error unless the sizes ascend from 1 on.
Status CheckAscending(std::string_view name, const std::vector<int64_t>& sizes) {
  int64_t before = 0;
  for (const int64_t size : sizes) {
    if (size <= before)
      return InvalidArgument(
          "{} with {} after {}; each must be larger than the one before it, and the first at least "
          "1",
          name, size, before);
    before = size;
  }
  return OkStatus();
}

Status CheckDelay(std::string_view name, int64_t delay_us) {
  if (delay_us >= 0 && delay_us <= kDelayUsMax) return OkStatus();
  return InvalidArgument("a {} of {}; it must be 0 to {}", name, delay_us, kDelayUsMax);
}

// Checks the sizes, and sets max_batch_size to the last allowed one if it is not set.
Status CheckSizes(BatchingConfig& config) {
  const auto& allowed = config.allowed_batch_sizes;
  if (!allowed.empty() && !config.max_batch_size) config.max_batch_size = allowed.back();
  const int64_t most = config.max_batch_size.value_or(1);
  if (most < 1 || most > batch::kBatchRowsLimit) {
    return InvalidArgument("a max_batch_size of {}; it must be 1 to {}", most,
                           batch::kBatchRowsLimit);
  }
  TRY(CheckAscending("allowed_batch_sizes", allowed));
  TRY(CheckAscending("preferred_batch_sizes", config.preferred_batch_sizes));
  if (config.max_batch_size && !config.preferred_batch_sizes.empty() &&
      config.preferred_batch_sizes.back() > most) {
    return InvalidArgument("preferred_batch_sizes with {}, above max_batch_size, {}",
                           config.preferred_batch_sizes.back(), most);
  }
  if (!allowed.empty() && allowed.back() != most) {
    // That of a run, if a larger request is split.
    const bool is_of_run = config.request_rows_max && most != *config.request_rows_max;
    return InvalidArgument("allowed_batch_sizes that end with {}; the last one must be {}, {}",
                           allowed.back(),
                           is_of_run ? "max_execution_batch_size" : "max_batch_size", most);
  }
  return OkStatus();
}

// The names of settings that have no effect.
std::vector<std::string> Unused(const tensorflow::serving::BatchingParameters& from) {
  std::vector<std::string> unused;
  if (from.has_thread_pool_name()) unused.emplace_back("thread_pool_name");
  if (from.has_max_execution_batch_size() && !from.enable_large_batch_splitting().value())
    unused.emplace_back("max_execution_batch_size without enable_large_batch_splitting");
  return unused;
}

// max_batch_size limits a request, and a run too if requests are not split.
Status ReadSplitting(const tensorflow::serving::BatchingParameters& from, BatchingConfig& config) {
  config.splits = from.enable_large_batch_splitting().value();
  if (from.has_max_batch_size()) config.request_rows_max = from.max_batch_size().value();
  const int64_t run_rows = from.max_execution_batch_size().value();
  if (run_rows < 0) return InvalidArgument("a max_execution_batch_size of {}, below 0", run_rows);
  if (!*config.splits || run_rows == 0) return OkStatus();
  if (config.request_rows_max && run_rows > *config.request_rows_max) {
    return InvalidArgument("a max_execution_batch_size of {}, above max_batch_size, {}", run_rows,
                           *config.request_rows_max);
  }
  config.max_batch_size = run_rows;
  return OkStatus();
}

Status ReadPadding(const config::Batching& from, BatchingConfig& config) {
  if (from.pad().empty() && !from.has_padding_share_max()) return OkStatus();
  batch::PadSettings& pad = config.pad.emplace();
  if (from.has_padding_share_max()) pad.share_max = from.padding_share_max();
  if (!(pad.share_max >= 0 && pad.share_max <= 1)) {
    return InvalidArgument("a padding_share_max of {}; it must be 0 to 1",
                           from.padding_share_max());
  }
  for (const config::Pad& each : from.pad()) {
    for (const config::Pad& other : from.pad())
      if (!each.input().empty() &&
          (other.mask_input() == each.input() || other.length_input() == each.input()))
        return InvalidArgument("a pad for the input '{}', which is a mask or length", each.input());
    if (each.input().empty()) return InvalidArgument("a pad without an input");
    if (!each.mask_input().empty() && each.mask_input() == each.length_input())
      return InvalidArgument("a pad for the input '{}' whose mask and length are one input, '{}'",
                             each.input(), each.mask_input());
    for (const batch::PadRule& before : pad.rules)
      if (before.input == each.input())
        return InvalidArgument("two pads for the input '{}'", each.input());
    pad.rules.push_back({.input = each.input(),
                         .value = each.value(),
                         .mask_input = each.mask_input(),
                         .length_input = each.length_input(),
                         .cut_outputs = {each.cut_outputs().begin(), each.cut_outputs().end()}});
  }
  return OkStatus();
}

Status CheckCellNumber(std::string_view name, int64_t value, int64_t most) {
  if (value >= 1 && value <= most) return OkStatus();
  return InvalidArgument("a cell with a {} of {}; it must be 1 to {}", name, value, most);
}

Status ReadCell(const config::Batching& from, BatchingConfig& config) {
  if (!from.has_cell()) return OkStatus();
  if (from.has_enabled() || !from.allowed_batch_sizes().empty() ||
      from.has_split_large_requests() || !from.pad().empty() || from.has_padding_share_max() ||
      from.has_queue_delay_us_max() || !from.preferred_batch_sizes().empty())
    return InvalidArgument("a cell and other settings; only max_batch_size goes with a cell");
  const config::Cell& cell = from.cell();
  cells::CellSettings& settings = config.cell.emplace();
  settings.signature = cell.signature();
  settings.inputs = {cell.input().begin(), cell.input().end()};
  for (const config::CellState& state : cell.state()) {
    if (state.input().empty() || state.output().empty())
      return InvalidArgument("a cell with a state without {}",
                             state.input().empty() ? "an input" : "an output");
    settings.states.push_back({state.input(), state.output(), state.each_step()});
  }
  if (settings.states.empty())
    return InvalidArgument("a cell without a state: name what a step gives to the next one");
  settings.stop = cell.stop();
  if (!cell.lengths_input().empty()) settings.lengths_input = cell.lengths_input();
  if (!cell.steps_output().empty()) settings.steps_output = cell.steps_output();
  if (cell.has_steps_max()) settings.steps_max = cell.steps_max();
  if (cell.has_sequences_max()) settings.sequences_max = cell.sequences_max();
  TRY(CheckCellNumber("steps_max", settings.steps_max, cells::kStepsLimit));
  return CheckCellNumber("sequences_max", settings.sequences_max, cells::kSequencesLimit);
}

StatusOr<BatchingConfig> Convert(const tensorflow::serving::BatchingParameters& from) {
  BatchingConfig config;
  if (from.has_max_batch_size()) config.max_batch_size = from.max_batch_size().value();
  config.allowed_batch_sizes = {from.allowed_batch_sizes().begin(),
                                from.allowed_batch_sizes().end()};
  TRY(ReadSplitting(from, config));
  config.delay_us_max = from.batch_timeout_micros().value();
  TRY(CheckDelay("batch_timeout_micros", *config.delay_us_max));
  if (from.pad_variable_length_inputs()) config.pad.emplace().all_inputs = true;
  TRY(CheckSizes(config));
  if (from.has_max_enqueued_batches()) {
    config.max_enqueued_batches = from.max_enqueued_batches().value();
    if (*config.max_enqueued_batches < 1 || *config.max_enqueued_batches > kEnqueuedMax)
      return InvalidArgument("a max_enqueued_batches of {}; it must be 1 to {}",
                             *config.max_enqueued_batches, kEnqueuedMax);
  }
  config.unused = Unused(from);
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
  config.preferred_batch_sizes = {from.preferred_batch_sizes().begin(),
                                  from.preferred_batch_sizes().end()};
  if (from.has_queue_delay_us_max()) config.delay_us_max = from.queue_delay_us_max();
  Status status = CheckSizes(config);
  if (status.ok()) status = CheckDelay("queue_delay_us_max", config.delay_us_max.value_or(0));
  if (status.ok()) status = ReadPadding(from, config);
  if (status.ok()) status = ReadCell(from, config);
  if (!status.ok()) return InvalidArgument("has a batching with {}", MessageOf(status));
  // Whoever sets the limit wants runs of at most this size.
  if (config.max_batch_size) config.splits = true;
  if (from.has_split_large_requests()) config.splits = from.split_large_requests();
  return config;
}

StatusOr<BatchingConfig> ParseBatchingParameters(std::string_view text, std::string_view file) {
  tensorflow::serving::BatchingParameters parameters;
  if (Status status = ParseTextFormat(text, file, parameters); !status.ok()) {
    // TensorFlow has them only as attributes of a batch inside a graph. But people try them here.
    if (text.find("mixed_priority") == text.npos && text.find("low_priority") == text.npos)
      return status;
    return InvalidArgument(
        "{}. BatchingParameters have no priorities of requests; a model has one by penstock {{ "
        "scheduling {{ priority: N }} }} in its configuration",
        MessageOf(status));
  }
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
    defaults.request_rows_max = config.request_rows_max.value_or(0);
  }
  if (config.delay_us_max) defaults.delay_us_max = *config.delay_us_max;
  if (!config.preferred_batch_sizes.empty()) defaults.preferred_rows = config.preferred_batch_sizes;
  if (config.pad) defaults.pad = *config.pad;
  if (config.splits) defaults.splits = *config.splits;
  if (config.num_batch_threads) defaults.runs = static_cast<uint32_t>(*config.num_batch_threads);
  return defaults;
}

}  // namespace penstock
