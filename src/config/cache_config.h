// SPDX-License-Identifier: Apache-2.0
// Reads how the answers of a model are cached from its configuration.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/status.h"

namespace penstock::config {
class ModelOptions;
}

namespace penstock {

// The settings in `cache`. What is not set is the server's default. Plain data.
struct CacheConfig {
  bool enabled = false;  // the model has a `cache`
  std::optional<uint64_t> memory_bytes;
  std::optional<uint64_t> disk_bytes;
  std::string path;  // below the server's folder; empty: the model's name
  int64_t ttl_seconds = 0;
  std::vector<std::string> outputs;

  bool operator==(const CacheConfig&) const = default;
};

// Errors: INVALID_ARGUMENT; the message continues a sentence that starts with the model's name.
StatusOr<CacheConfig> ReadCache(const config::ModelOptions& options);

}  // namespace penstock
