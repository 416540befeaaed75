// SPDX-License-Identifier: Apache-2.0
#include "config/cache_config.h"

#include <set>

#include "penstock/model_options.pb.h"

namespace penstock {
namespace {

constexpr int64_t kCacheBytesMax = int64_t{1} << 50;
constexpr int64_t kCacheTtlSecondsMax = int64_t{100} * 366 * 86400;

Status CheckCacheNumber(std::string_view name, int64_t value, int64_t least, int64_t most) {
  if (value >= least && value <= most) return OkStatus();
  return InvalidArgument("has a cache with a {} of {}; it must be {} to {}", name, value, least,
                         most);
}

}  // namespace

StatusOr<CacheConfig> ReadCache(const config::ModelOptions& options) {
  CacheConfig config;
  if (!options.has_cache()) return config;
  const config::Cache& from = options.cache();
  config.enabled = true;
  TRY(CheckCacheNumber("memory_bytes", from.memory_bytes(), 0, kCacheBytesMax));
  TRY(CheckCacheNumber("ttl_seconds", from.ttl_seconds(), 0, kCacheTtlSecondsMax));
  if (from.has_memory_bytes()) config.memory_bytes = static_cast<uint64_t>(from.memory_bytes());
  TRY(CheckCacheNumber("disk_bytes", from.disk_bytes(), 0, kCacheBytesMax));
  if (from.has_disk_bytes()) config.disk_bytes = static_cast<uint64_t>(from.disk_bytes());
  // A list may come from a client, which must not choose where the server writes files.
  if (from.path().find('/') != std::string::npos || from.path().starts_with('.'))
    return InvalidArgument(
        "has a cache with the path '{}'; it must be the name of a folder in --row_cache_directory",
        from.path());
  config.path = from.path();
  config.ttl_seconds = from.ttl_seconds();
  std::set<std::string> names;
  for (const std::string& output : from.outputs()) {
    if (output.empty()) return InvalidArgument("has a cache with an output without a name");
    if (!names.insert(output).second)
      return InvalidArgument("has a cache that names the output '{}' twice", output);
    config.outputs.push_back(output);
  }
  return config;
}

}  // namespace penstock
