// SPDX-License-Identifier: Apache-2.0
// Reads how the requests of a model are batched from its configuration.
#pragma once

#include <cstdint>
#include <optional>

#include "base/status.h"
#include "batch/batch_settings.h"

namespace penstock::config {
class ModelOptions;
}

namespace penstock {

// The settings in `batching`. What is not set is the server's default.
struct BatchingConfig {
  std::optional<bool> enabled;
  std::optional<int64_t> max_batch_size;

  bool operator==(const BatchingConfig&) const = default;
};

// Errors: INVALID_ARGUMENT; the message continues a sentence that starts with the model's name.
StatusOr<BatchingConfig> ReadBatching(const config::ModelOptions& options);

// The settings of a model whose configuration is `config`.
batch::BatchSettings SettingsOf(const BatchingConfig& config, batch::BatchSettings defaults);

}  // namespace penstock
