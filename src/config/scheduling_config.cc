// SPDX-License-Identifier: Apache-2.0
#include "config/scheduling_config.h"

#include <string_view>
#include <tuple>

#include "penstock/model_options.pb.h"

namespace penstock {
namespace {

// Limits above these are mistakes: they limit nothing.
constexpr int64_t kConcurrencyMax = 1'000'000;
constexpr int64_t kRequestsMax = 1'000'000'000;
constexpr int64_t kBytesMax = int64_t{1} << 50;
constexpr int64_t kTimeoutUsMax = 3'600'000'000;

}  // namespace

StatusOr<SchedulingConfig> ReadScheduling(const config::ModelOptions& options) {
  const config::Scheduling& from = options.scheduling();
  if (from.queue_timeout_action() == config::DELAY && from.queue_timeout_us() == 0)
    return InvalidArgument("has a scheduling with a queue_timeout_action without queue_timeout_us");
  const std::tuple<std::string_view, int64_t, int64_t, int64_t> numbers[] = {
      {"max_concurrency", from.max_concurrency(), 0, kConcurrencyMax},
      {"queue_requests_max", from.queue_requests_max(), 0, kRequestsMax},
      {"queue_bytes_max", from.queue_bytes_max(), 0, kBytesMax},
      {"queue_timeout_us", from.queue_timeout_us(), 0, kTimeoutUsMax},
      {"priority", from.priority(), schedule::kPriorityMin, schedule::kPriorityMax}};
  for (const auto& [name, value, least, most] : numbers) {
    if (value < least || value > most) {
      return InvalidArgument("has a scheduling with a {} of {}; it must be {} to {}", name, value,
                             least, most);
    }
  }
  SchedulingConfig config;
  if (from.has_max_concurrency())
    config.max_concurrency = static_cast<uint32_t>(from.max_concurrency());
  if (from.has_queue_requests_max())
    config.queue_requests_max = static_cast<uint64_t>(from.queue_requests_max());
  if (from.has_queue_bytes_max())
    config.queue_bytes_max = static_cast<uint64_t>(from.queue_bytes_max());
  if (from.has_queue_timeout_us()) config.queue_timeout_us = from.queue_timeout_us();
  if (from.queue_timeout_action() == config::DELAY)
    config.queue_timeout_action = schedule::LateAction::kDelay;
  if (from.has_priority()) config.priority = from.priority();
  if (from.has_weight()) {
    config.weight = from.weight();
    if (!(from.weight() >= schedule::kWeightMin && from.weight() <= schedule::kWeightMax)) {
      return InvalidArgument("has a scheduling with a weight of {}; it must be {} to {}",
                             from.weight(), schedule::kWeightMin, schedule::kWeightMax);
    }
  }
  return config;
}

schedule::ModelLimits LimitsOf(const SchedulingConfig& config, schedule::ModelLimits defaults) {
  schedule::FlowLimits& flow = defaults.flow;
  flow.runs_max = config.max_concurrency.value_or(flow.runs_max);
  flow.items_max = config.queue_requests_max.value_or(flow.items_max);
  flow.bytes_max = config.queue_bytes_max.value_or(flow.bytes_max);
  if (config.queue_timeout_us) {
    flow.late_after = *config.queue_timeout_us * 1000;
    flow.late_action = config.queue_timeout_action;
  }
  flow.priority = config.priority.value_or(flow.priority);
  flow.weight = config.weight.value_or(flow.weight);
  // On an event loop a run takes no turn, so these settings would have no effect.
  defaults.queues_always |= flow.runs_max != 0 || config.priority || config.weight;
  return defaults;
}

}  // namespace penstock
