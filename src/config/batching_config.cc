// SPDX-License-Identifier: Apache-2.0
#include "config/batching_config.h"

#include "penstock/model_options.pb.h"

namespace penstock {

StatusOr<BatchingConfig> ReadBatching(const config::ModelOptions& options) {
  const config::Batching& from = options.batching();
  BatchingConfig config;
  if (from.has_enabled()) config.enabled = from.enabled();
  if (from.has_max_batch_size()) {
    config.max_batch_size = from.max_batch_size();
    if (from.max_batch_size() < 1 || from.max_batch_size() > batch::kBatchRowsLimit) {
      return InvalidArgument("has a batching with a max_batch_size of {}; it must be 1 to {}",
                             from.max_batch_size(), batch::kBatchRowsLimit);
    }
  }
  return config;
}

batch::BatchSettings SettingsOf(const BatchingConfig& config, batch::BatchSettings defaults) {
  using batch::BatchMode;
  if (config.enabled) defaults.mode = *config.enabled ? BatchMode::kForced : BatchMode::kOff;
  defaults.rows_max = config.max_batch_size.value_or(defaults.rows_max);
  return defaults;
}

}  // namespace penstock
