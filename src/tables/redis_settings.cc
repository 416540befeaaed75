// SPDX-License-Identifier: Apache-2.0
#include "tables/redis_settings.h"

#include <simdjson.h>

#include <algorithm>
#include <array>

#include "absl/strings/ascii.h"
#include "base/options/nearest_name.h"
#include "base/os/read_file.h"

namespace penstock::tables {
namespace {

using simdjson::dom::element;

constexpr uint64_t kPasswordBytesMax = 4096;
constexpr size_t kAddressesMax = 1024;
constexpr size_t kPrefixBytesMax = 128;
constexpr uint64_t kPartitionsMax = 1 << 24;
constexpr uint64_t kBlockRowsMax = 1 << 24;
constexpr uint64_t kGenerationRowsMax = uint64_t{1} << 48;
constexpr uint64_t kMillisecondsMax = 600'000;
constexpr std::array kRedisMembers = {
    std::string_view("addresses"),    std::string_view("answer_timeout_ms"),
    std::string_view("ca_file"),      std::string_view("cache_bytes"),
    std::string_view("cert_file"),    std::string_view("connect_timeout_ms"),
    std::string_view("key_file"),     std::string_view("password_file"),
    std::string_view("poll_ms"),      std::string_view("prefix"),
    std::string_view("requests_max"), std::string_view("stall_ms"),
    std::string_view("tls"),          std::string_view("user")};

// A text of these characters needs no quotes anywhere, and has no hash tag.
bool IsPlain(std::string_view text) {
  return std::ranges::all_of(text, [](char c) {
    return absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '_' || c == '-' || c == '.' ||
           c == ':' || c == '/';
  });
}

StatusOr<std::string> ReadRedisText(std::string_view member, const element& value) {
  std::string_view text;
  if (value.get(text) != simdjson::SUCCESS || text.empty() || text.size() > 255)
    return InvalidArgument("'redis.{}' must be a text in quotes", member);
  return std::string(text);
}

StatusOr<uint64_t> ReadRedisNumber(std::string_view member, const element& value, uint64_t most) {
  uint64_t number = 0;
  if (value.get(number) != simdjson::SUCCESS || number < 1 || number > most)
    return InvalidArgument("'redis.{}' must be a whole number from 1 to {}", member, most);
  return number;
}

Status ReadAddresses(const element& value, RedisSettings& settings) {
  simdjson::dom::array list;
  if (value.get(list) != simdjson::SUCCESS || list.size() == 0 || list.size() > kAddressesMax)
    return InvalidArgument(R"('redis.addresses' must be a list, as ["10.0.0.1:6379"])");
  for (const element each : list) {
    ASSIGN_OR_RETURN(const std::string text, ReadRedisText("addresses", each));
    StatusOr<redis::Address> address = redis::ParseAddress(text);
    if (!address.ok()) return InvalidArgument("'redis.addresses': {}", MessageOf(address.status()));
    settings.addresses.push_back(*std::move(address));
  }
  return OkStatus();
}

Status ReadSecretName(std::string_view member, const element& value, std::string& name) {
  ASSIGN_OR_RETURN(name, ReadRedisText(member, value));
  if (name.starts_with('.') || name.find('/') != name.npos || name.find('\0') != name.npos)
    return InvalidArgument(
        "'redis.{}' must be the name of a file in the folder of --table_secrets_path, without a "
        "path",
        member);
  return OkStatus();
}

Status ReadRedisMember(std::string_view name, const element& value, RedisSettings& settings) {
  if (name == "addresses") return ReadAddresses(value, settings);
  if (name == "password_file") return ReadSecretName(name, value, settings.password_file);
  if (name == "ca_file") return ReadSecretName(name, value, settings.ca_file);
  if (name == "cert_file") return ReadSecretName(name, value, settings.cert_file);
  if (name == "key_file") return ReadSecretName(name, value, settings.key_file);
  if (name == "tls") {
    if (value.get(settings.tls) == simdjson::SUCCESS) return OkStatus();
    return InvalidArgument("'redis.tls' must be true or false");
  }
  if (name == "user") {
    ASSIGN_OR_RETURN(settings.user, ReadRedisText(name, value));
    return OkStatus();
  }
  if (name == "prefix") {
    ASSIGN_OR_RETURN(settings.prefix, ReadRedisText(name, value));
    if (IsRedisName(settings.prefix)) return OkStatus();
    return InvalidArgument(
        "'redis.prefix' must have at most {} letters, digits and '_', '-', '.', ':', '/'",
        kPrefixBytesMax);
  }
  if (name == "cache_bytes") {
    if (value.get(settings.cache_bytes) == simdjson::SUCCESS &&
        settings.cache_bytes <= kCacheBytesMax)
      return OkStatus();
    return InvalidArgument("'redis.cache_bytes' must be a whole number from 0 to {}",
                           kCacheBytesMax);
  }
  if (name == "poll_ms") {
    ASSIGN_OR_RETURN(settings.poll_ms, ReadRedisNumber(name, value, kMillisecondsMax));
    return OkStatus();
  }
  for (const auto& [member, target] :
       {std::pair(std::string_view("connect_timeout_ms"), &settings.connect_timeout_ms),
        std::pair(std::string_view("stall_ms"), &settings.stall_ms),
        std::pair(std::string_view("answer_timeout_ms"), &settings.answer_timeout_ms),
        std::pair(std::string_view("requests_max"), &settings.requests_max)}) {
    if (name != member) continue;
    ASSIGN_OR_RETURN(*target, ReadRedisNumber(name, value, kMillisecondsMax));
    return OkStatus();
  }
  const std::string_view nearest = NearestName(name, kRedisMembers);
  return InvalidArgument("'redis' has the unknown member '{:.40}'{}", name,
                         nearest.empty() ? "" : fmt::format("; did you mean '{}'?", nearest));
}

std::string InFolder(const std::string& folder, const std::string& name) {
  return name.empty() || folder.empty() ? name : fmt::format("{}/{}", folder, name);
}

// A text that may be missing.
std::string TextIn(const simdjson::dom::object& members, std::string_view name) {
  std::string_view text;
  return members[name].get(text) == simdjson::SUCCESS && IsRedisName(text) ? std::string(text) : "";
}

}  // namespace

StatusOr<RedisSettings> ReadRedisSettings(const element& value) {
  simdjson::dom::object members;
  if (value.get(members) != simdjson::SUCCESS)
    return InvalidArgument(
        R"('redis' must be as {{"addresses": ["10.0.0.1:6379"], "prefix": "items"}})");
  RedisSettings settings;
  for (const auto& [name, member] : members) TRY(ReadRedisMember(name, member, settings));
  if (settings.addresses.empty() || settings.prefix.empty())
    return InvalidArgument("'redis' must have the members 'addresses' and 'prefix'");
  if (settings.cert_file.empty() != settings.key_file.empty())
    return InvalidArgument("'redis' must have both 'cert_file' and 'key_file', or neither");
  if (!settings.tls && !(settings.ca_file.empty() && settings.cert_file.empty()))
    return InvalidArgument("'redis' has certificates, so it must have 'tls': true");
  if (!settings.user.empty() && settings.password_file.empty())
    return InvalidArgument("'redis' has a 'user', so it must have a 'password_file'");
  return settings;
}

bool IsRedisName(std::string_view text) {
  return !text.empty() && text.size() <= kPrefixBytesMax && IsPlain(text);
}

StatusOr<redis::ClusterOptions> MakeClusterOptions(const RedisSettings& settings,
                                                   const std::string& secrets_path,
                                                   uint64_t row_bytes) {
  redis::ClusterOptions options;
  options.seeds = settings.addresses;
  options.user = settings.user;
  options.tls = {.enabled = settings.tls,
                 .ca_file = InFolder(secrets_path, settings.ca_file),
                 .cert_file = InFolder(secrets_path, settings.cert_file),
                 .key_file = InFolder(secrets_path, settings.key_file)};
  if (!settings.password_file.empty()) {
    const std::string path = InFolder(secrets_path, settings.password_file);
    StatusOr<std::string> password = ReadWholeFile(path, kPasswordBytesMax);
    if (!password.ok())
      return InvalidArgument("cannot read the password of the table: {}",
                             MessageOf(password.status()));
    // Editors end a file with a line feed.
    while (password->ends_with('\n') || password->ends_with('\r')) password->pop_back();
    options.password = *std::move(password);
    if (options.password.empty()) return InvalidArgument("{} has no password", path);
  }
  using std::chrono::milliseconds;
  if (settings.connect_timeout_ms)
    options.connect_timeout = milliseconds(*settings.connect_timeout_ms);
  if (settings.stall_ms) options.stall_time = milliseconds(*settings.stall_ms);
  if (settings.answer_timeout_ms)
    options.answer_timeout = milliseconds(*settings.answer_timeout_ms);
  if (settings.requests_max) options.batches_max = *settings.requests_max;
  options.poll_interval = milliseconds(settings.poll_ms);
  options.bulk_bytes_max = std::max<size_t>(options.bulk_bytes_max, row_bytes);
  return options;
}

StatusOr<Generation> ParseGeneration(std::string_view json, bool is_dense) {
  const char* const example = is_dense ? R"({"generation": "7", "rows": 1000, "block_rows": 1023})"
                                       : R"({"generation": "7", "rows": 1000, "partitions": 64})";
  simdjson::dom::parser parser;
  element document;
  simdjson::dom::object members;
  if (parser.parse(json.data(), json.size()).get(document) != simdjson::SUCCESS ||
      document.get(members) != simdjson::SUCCESS)
    return InvalidArgument("it must be JSON, as {}", example);
  // Writers may keep more in it.
  Generation generation;
  uint64_t divided = 0;
  std::string_view name;
  if (members["generation"].get(name) != simdjson::SUCCESS || !IsRedisName(name) ||
      members["rows"].get(generation.rows) != simdjson::SUCCESS ||
      generation.rows > kGenerationRowsMax ||
      members[is_dense ? "block_rows" : "partitions"].get(divided) != simdjson::SUCCESS ||
      divided < 1 || divided > (is_dense ? kBlockRowsMax : kPartitionsMax))
    return InvalidArgument("'{:.200}' must be as {}", json, example);
  generation.name = name;
  generation.key_type = TextIn(members, "key_type");
  generation.dtype = TextIn(members, "dtype");
  if (members["dimension"].get(generation.dimension) != simdjson::SUCCESS) generation.dimension = 0;
  if (is_dense) {
    generation.block_rows = divided;
  } else {
    generation.partitions = static_cast<uint32_t>(divided);
  }
  return generation;
}

}  // namespace penstock::tables
