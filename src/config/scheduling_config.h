// SPDX-License-Identifier: Apache-2.0
// Reads how the requests of a model are scheduled from its configuration.
#pragma once

#include <cstdint>
#include <optional>

#include "base/status.h"
#include "schedule/model_queue.h"

namespace penstock::config {
class ModelOptions;
}

namespace penstock {

// The settings in `scheduling`. What is not set is the server's default. A limit of 0 is none.
struct SchedulingConfig {
  std::optional<uint32_t> max_concurrency;
  std::optional<uint64_t> queue_requests_max;
  std::optional<uint64_t> queue_bytes_max;
  std::optional<int> priority;
  std::optional<double> weight;
  std::optional<int64_t> queue_timeout_us;
  schedule::LateAction queue_timeout_action = schedule::LateAction::kReject;
};

// Errors: INVALID_ARGUMENT; the message continues a sentence that starts with the model's name.
StatusOr<SchedulingConfig> ReadScheduling(const config::ModelOptions& options);

// The limits of a model whose configuration is `config`.
schedule::ModelLimits LimitsOf(const SchedulingConfig& config, schedule::ModelLimits defaults);

}  // namespace penstock
