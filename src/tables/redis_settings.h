// SPDX-License-Identifier: Apache-2.0
// What table.json says about a table in a Redis cluster: its member "redis".
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "redis/options.h"

namespace simdjson::dom {
class element;
}

namespace penstock::tables {

// The largest cache of hot rows, of files, too.
inline constexpr uint64_t kCacheBytesMax = uint64_t{1} << 40;

// Where the table is. Immutable.
struct RedisSettings {
  std::vector<redis::Address> addresses;
  std::string prefix;  // of all keys of the table
  std::string user;
  // Names of files in the folder for secrets.
  std::string password_file;
  std::string ca_file;
  std::string cert_file;
  std::string key_file;
  bool tls = false;
  // Not set: the defaults of redis::ClusterOptions.
  std::optional<uint64_t> connect_timeout_ms;
  std::optional<uint64_t> stall_ms;
  std::optional<uint64_t> answer_timeout_ms;
  std::optional<uint64_t> requests_max;
  uint64_t cache_bytes = 64 << 20;  // of hot rows; 0: none are kept
  uint64_t poll_ms = 1000;          // how often the current generation is asked for
};

// Reads the member "redis". Errors: INVALID_ARGUMENT, with the member and what would be right.
StatusOr<RedisSettings> ReadRedisSettings(const simdjson::dom::element& value);

// True for what may be the prefix of a table, or the name of a generation: letters, digits and a
// few others that need no quotes anywhere.
bool IsRedisName(std::string_view text);

// Reads the files that the settings name; they are in `secrets_path`, or anywhere if that is empty.
// Errors: INVALID_ARGUMENT.
StatusOr<redis::ClusterOptions> MakeClusterOptions(const RedisSettings& settings,
                                                   const std::string& secrets_path,
                                                   uint64_t row_bytes);

// A set of rows that does not change. Its keys in Redis have its name. Immutable.
struct Generation {
  std::string name;
  uint64_t rows = 0;
  uint32_t partitions = 0;  // hashes; 0 for dense keys
  uint64_t block_rows = 0;  // rows in a block of dense keys, else 0
  // What its rows are, by the names that table.json has. Empty and 0: whoever wrote it has not
  // said.
  std::string key_type;
  std::string dtype;
  uint64_t dimension = 0;

  bool operator==(const Generation&) const = default;
};

// Reads the value of the key PREFIX:current, as {"generation": "7", "rows": 1000, "partitions": 64}
// or, for dense keys, with "block_rows" in place of "partitions"; and with "key_type", "dtype" and
// "dimension", if its writer has said them. Errors: INVALID_ARGUMENT.
StatusOr<Generation> ParseGeneration(std::string_view json, bool is_dense);

}  // namespace penstock::tables
