// SPDX-License-Identifier: Apache-2.0
// Reads how the requests of a model are batched from its configuration.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "batch/batch_settings.h"
#include "cells/cell_settings.h"

namespace penstock::config {
class ModelOptions;
}

namespace penstock {

// The settings in `batching`, or of a file of BatchingParameters. What is not set is the server's
// default.
struct BatchingConfig {
  std::optional<bool> enabled;
  std::optional<int64_t> max_batch_size;
  std::vector<int64_t> allowed_batch_sizes;  // ascending; the last one is max_batch_size
  std::optional<bool> splits;                // larger requests into parts; else they run alone
  std::optional<int64_t> request_rows_max;   // larger requests are refused
  std::optional<batch::PadSettings> pad;
  std::optional<int64_t> delay_us_max;
  std::vector<int64_t> preferred_batch_sizes;
  std::optional<int64_t> num_batch_threads;
  std::optional<int64_t> max_enqueued_batches;  // of one model
  std::optional<cells::CellSettings> cell;      // without rows_max and runs
  std::vector<std::string> unused;              // what was set without an effect

  bool operator==(const BatchingConfig&) const = default;
};

// Errors: INVALID_ARGUMENT; the message continues a sentence that starts with the model's name.
StatusOr<BatchingConfig> ReadBatching(const config::ModelOptions& options);

// Parses the BatchingParameters of --batching_parameters_file, or of the file in the folder of a
// version. Errors: INVALID_ARGUMENT, with `file`.
StatusOr<BatchingConfig> ParseBatchingParameters(std::string_view text, std::string_view file);

// The settings of a model whose configuration is `config`.
batch::BatchSettings SettingsOf(const BatchingConfig& config, batch::BatchSettings defaults);

}  // namespace penstock
