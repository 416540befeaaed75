// SPDX-License-Identifier: Apache-2.0
// The file may be wrong in any way, so each member is checked here, once, and the rest of the
// folder relies on it. Names of files are plain names: a table reads nothing outside of its folder.
#include "tables/manifest.h"

#include <simdjson.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <filesystem>
#include <utility>

#include "base/options/nearest_name.h"
#include "base/os/read_file.h"

namespace penstock::tables {
namespace {

using simdjson::dom::element;

// A default row of 2^20 numbers fits.
constexpr size_t kManifestBytesMax = size_t{32} << 20;
constexpr std::string_view kExample =
    R"({"key_type": "int64", "dtype": "float32", "dimension": 64})";
constexpr std::array kMembers = {
    std::string_view("cache_bytes"), std::string_view("checksums"), std::string_view("default_row"),
    std::string_view("dimension"),   std::string_view("dtype"),     std::string_view("format"),
    std::string_view("indices"),     std::string_view("key_type"),  std::string_view("keys"),
    std::string_view("redis"),       std::string_view("rows"),      std::string_view("shard"),
    std::string_view("store")};

bool Exists(const std::string& folder, std::string_view name) {
  std::error_code ignored;
  return std::filesystem::exists(fmt::format("{}/{}", folder, name), ignored);
}

StatusOr<std::string_view> ReadText(std::string_view member, const element& value) {
  std::string_view text;
  if (value.get(text) != simdjson::SUCCESS)
    return InvalidArgument("'{}' must be a text in quotes", member);
  return text;
}

StatusOr<uint64_t> ReadNumber(std::string_view member, const element& value, uint64_t least,
                              uint64_t most) {
  uint64_t number = 0;
  if (value.get(number) != simdjson::SUCCESS || number < least || number > most)
    return InvalidArgument("'{}' must be a whole number from {} to {}", member, least, most);
  return number;
}

Status ReadFileName(std::string_view member, const element& value, std::string& name) {
  ASSIGN_OR_RETURN(const std::string_view text, ReadText(member, value));
  if (text.empty() || text.starts_with('.') || text.size() > 255 || text.find('/') != text.npos ||
      text.find('\0') != text.npos)
    return InvalidArgument("'{}' must be the name of a file in the folder of the table", member);
  name = text;
  return OkStatus();
}

Status ReadKeyType(const element& value, Manifest& manifest) {
  ASSIGN_OR_RETURN(const std::string_view text, ReadText("key_type", value));
  for (const KeyType type :
       {KeyType::kInt64, KeyType::kString, KeyType::kDense, KeyType::kVocabulary}) {
    if (KeyTypeName(type) == text) manifest.key_type = type;
  }
  if (manifest.key_type) return OkStatus();
  return InvalidArgument("'key_type' is '{:.40}'; it must be int64, string, dense or vocabulary",
                         text);
}

Status ReadDType(const element& value, Manifest& manifest) {
  ASSIGN_OR_RETURN(const std::string_view text, ReadText("dtype", value));
  for (int number = 1; number <= static_cast<int>(DType::kUint64); ++number) {
    const std::optional<DType> dtype = DTypeFromTensorFlow(number);
    if (dtype && DTypeBytes(*dtype) > 0 && DTypeName(*dtype) == text) manifest.dtype = dtype;
  }
  if (manifest.dtype) return OkStatus();
  return InvalidArgument(
      "'dtype' is '{:.40}', which rows cannot have; float32 is one that they can", text);
}

Status ReadIndices(const element& value, Manifest& manifest) {
  ASSIGN_OR_RETURN(const std::string_view text, ReadText("indices", value));
  if (text == "int32") manifest.indices = DType::kInt32;
  if (text == "int64") manifest.indices = DType::kInt64;
  if (manifest.indices) return OkStatus();
  return InvalidArgument("'indices' is '{:.40}'; it must be int32 or int64", text);
}

// Indices are numbers of rows, and each one must have a row here.
Status CheckIndices(const Manifest& manifest) {
  if (!manifest.indices || (manifest.key_type == KeyType::kDense && manifest.shard.count == 1 &&
                            !manifest.redis && manifest.default_row.empty()))
    return OkStatus();
  return InvalidArgument(
      "a table with 'indices' has the 'key_type' dense, and neither 'shard' nor 'redis' nor "
      "'default_row'");
}

StatusOr<RowValue> ReadValue(const element& value) {
  RowValue read;
  int64_t whole = 0;
  if (value.get(whole) == simdjson::SUCCESS) {
    read.whole = whole;
    read.number = static_cast<double>(whole);
  } else if (value.get(read.number) != simdjson::SUCCESS) {
    return InvalidArgument("'default_row' must be a number, or a list of 'dimension' numbers");
  }
  return read;
}

Status ReadDefaultRow(const element& value, Manifest& manifest) {
  simdjson::dom::array values;
  if (value.get(values) != simdjson::SUCCESS) {
    ASSIGN_OR_RETURN(const RowValue single, ReadValue(value));
    manifest.default_row = {single};
    return OkStatus();
  }
  for (const element each : values) {
    if (manifest.default_row.size() == kDimensionMax)
      return InvalidArgument("'default_row' has more than {} numbers", kDimensionMax);
    ASSIGN_OR_RETURN(const RowValue read, ReadValue(each));
    manifest.default_row.push_back(read);
  }
  if (manifest.default_row.empty()) return InvalidArgument("'default_row' has no numbers");
  return OkStatus();
}

Status ReadShard(const element& value, Manifest& manifest) {
  simdjson::dom::object members;
  if (value.get(members) != simdjson::SUCCESS)
    return InvalidArgument(R"('shard' must be as {{"index": 0, "count": 4, "hash": "mix64"}})");
  std::string_view hash = "mix64";
  bool has_index = false, has_count = false;
  for (const auto& [name, member] : members) {
    if (name == "index") {
      ASSIGN_OR_RETURN(const uint64_t index, ReadNumber("shard.index", member, 0, kShardsMax - 1));
      manifest.shard.index = static_cast<uint32_t>(index);
      has_index = true;
    } else if (name == "count") {
      ASSIGN_OR_RETURN(const uint64_t count, ReadNumber("shard.count", member, 1, kShardsMax));
      manifest.shard.count = static_cast<uint32_t>(count);
      has_count = true;
    } else if (name == "hash") {
      ASSIGN_OR_RETURN(hash, ReadText("shard.hash", member));
    } else {
      return InvalidArgument("'shard' has the unknown member '{:.40}'", name);
    }
  }
  if (!has_index || !has_count)
    return InvalidArgument("'shard' must have the members 'index' and 'count'");
  if (manifest.shard.index >= manifest.shard.count)
    return InvalidArgument("'shard.index' is {}, but there are only {} shards",
                           manifest.shard.index, manifest.shard.count);
  if (hash != "mix64" && hash != "modulo")
    return InvalidArgument("'shard.hash' is '{:.40}'; it must be mix64, or modulo for dense keys",
                           hash);
  return OkStatus();
}

Status ReadChecksums(const element& value, Manifest& manifest) {
  simdjson::dom::object members;
  constexpr std::string_view kPrefix = "crc32c:";
  if (value.get(members) != simdjson::SUCCESS)
    return InvalidArgument(R"('checksums' must be as {{"key": "crc32c:e3069283"}})");
  for (const auto& [file, member] : members) {
    ASSIGN_OR_RETURN(const std::string_view text, ReadText("checksums", member));
    uint32_t checksum = 0;
    const char* const end = text.data() + text.size();
    const char* const digits = text.data() + std::min(kPrefix.size(), text.size());
    const auto [stop, error] = std::from_chars(digits, end, checksum, 16);
    if (!text.starts_with(kPrefix) || text.size() != kPrefix.size() + 8 || stop != end ||
        error != std::errc{})
      return InvalidArgument(
          "the checksum of '{:.40}' must be crc32c: and 8 hexadecimal digits, as crc32c:e3069283",
          file);
    manifest.checksums.emplace(file, checksum);
  }
  return OkStatus();
}

Status ReadStore(const element& value, Manifest& manifest) {
  ASSIGN_OR_RETURN(const std::string_view text, ReadText("store", value));
  manifest.store = text;
  if (text == "files" || text == "redis") return OkStatus();
  return InvalidArgument("'store' is '{:.40}'; it must be files or redis", text);
}

// The members of a table in Redis, and those of files, exclude each other.
Status CheckStore(const Manifest& manifest) {
  if ((manifest.store == "redis") != manifest.redis.has_value())
    return InvalidArgument("'store': \"redis\" and the member 'redis' belong together");
  if (!manifest.redis) return OkStatus();
  if (!manifest.keys_file.empty() || !manifest.rows_file.empty() || !manifest.checksums.empty())
    return InvalidArgument("a table in Redis has no 'keys', 'rows' and 'checksums'");
  if (manifest.cache_bytes)
    return InvalidArgument("'cache_bytes' of a table in Redis belongs into the member 'redis'");
  if (manifest.key_type == KeyType::kVocabulary)
    return InvalidArgument("a vocabulary cannot be in Redis");
  return OkStatus();
}

Status ReadMember(std::string_view name, const element& value, Manifest& manifest) {
  if (name == "format") return ReadNumber(name, value, 1, 1).status();
  if (name == "key_type") return ReadKeyType(value, manifest);
  if (name == "dtype") return ReadDType(value, manifest);
  if (name == "indices") return ReadIndices(value, manifest);
  if (name == "keys") return ReadFileName(name, value, manifest.keys_file);
  if (name == "rows") return ReadFileName(name, value, manifest.rows_file);
  if (name == "store") return ReadStore(value, manifest);
  if (name == "redis") {
    ASSIGN_OR_RETURN(manifest.redis, ReadRedisSettings(value));
    return OkStatus();
  }
  if (name == "default_row") return ReadDefaultRow(value, manifest);
  if (name == "shard") return ReadShard(value, manifest);
  if (name == "checksums") return ReadChecksums(value, manifest);
  if (name == "cache_bytes") {
    ASSIGN_OR_RETURN(manifest.cache_bytes, ReadNumber(name, value, 0, kCacheBytesMax));
    return OkStatus();
  }
  if (name == "dimension") {
    ASSIGN_OR_RETURN(manifest.dimension, ReadNumber(name, value, 1, kDimensionMax));
    return OkStatus();
  }
  const std::string_view nearest = NearestName(name, kMembers);
  return InvalidArgument("'{:.40}' is no member of it{}", name,
                         nearest.empty() ? "" : fmt::format("; did you mean '{}'?", nearest));
}

// Fills in what table.json leaves out, by the files that are there.
void Complete(const std::string& folder, Manifest& manifest) {
  if (!manifest.key_type) manifest.key_type = KeyType::kInt64;
  if (manifest.redis) return;
  if (manifest.rows_file.empty())
    manifest.rows_file =
        Exists(folder, "emb_vector") || !Exists(folder, "rows.npy") ? "emb_vector" : "rows.npy";
  if (!manifest.keys_file.empty()) return;
  if (manifest.key_type == KeyType::kString || manifest.key_type == KeyType::kVocabulary)
    manifest.keys_file = "keys.txt";
  if (manifest.key_type == KeyType::kInt64)
    manifest.keys_file = Exists(folder, "key") || !Exists(folder, "keys.npy") ? "key" : "keys.npy";
}

template <typename T>
bool AppendWhole(const RowValue& value, std::string& row) {
  if (!value.whole || !std::in_range<T>(*value.whole)) return false;
  const T element = static_cast<T>(*value.whole);
  row.append(reinterpret_cast<const char*>(&element), sizeof(T));
  return true;
}

template <typename T>
bool AppendFloat(const RowValue& value, std::string& row) {
  const T element = static_cast<T>(value.number);
  if (!std::isfinite(element)) return false;
  row.append(reinterpret_cast<const char*>(&element), sizeof(T));
  return true;
}

bool AppendValue(const RowValue& value, DType dtype, std::string& row) {
  switch (dtype) {
    case DType::kFloat32:
      return AppendFloat<float>(value, row);
    case DType::kFloat64:
      return AppendFloat<double>(value, row);
    case DType::kInt8:
      return AppendWhole<int8_t>(value, row);
    case DType::kUint8:
      return AppendWhole<uint8_t>(value, row);
    case DType::kInt16:
      return AppendWhole<int16_t>(value, row);
    case DType::kUint16:
      return AppendWhole<uint16_t>(value, row);
    case DType::kInt32:
      return AppendWhole<int32_t>(value, row);
    case DType::kUint32:
      return AppendWhole<uint32_t>(value, row);
    case DType::kInt64:
      return AppendWhole<int64_t>(value, row);
    case DType::kUint64:
      return AppendWhole<uint64_t>(value, row);
    default:
      // A zero of any other type is zero bytes.
      if (value.number != 0) return false;
      row.append(DTypeBytes(dtype), '\0');
      return true;
  }
}

}  // namespace

std::string_view KeyTypeName(KeyType type) {
  switch (type) {
    case KeyType::kInt64:
      return "int64";
    case KeyType::kString:
      return "string";
    case KeyType::kDense:
      return "dense";
    case KeyType::kVocabulary:
      return "vocabulary";
  }
  return "unknown";
}

StatusOr<Manifest> ParseManifest(std::string_view json) {
  simdjson::dom::parser parser;
  element document;
  const auto error = parser.parse(json.data(), json.size()).get(document);
  if (error != simdjson::SUCCESS)
    return InvalidArgument("it is no JSON ({}); right would be {}", simdjson::error_message(error),
                           kExample);
  simdjson::dom::object members;
  if (document.get(members) != simdjson::SUCCESS)
    return InvalidArgument("it is no JSON object; right would be {}", kExample);
  Manifest manifest;
  std::map<std::string_view, bool> seen;
  for (const auto& [name, value] : members) {
    if (!seen.emplace(name, true).second) return InvalidArgument("'{:.40}' is there twice", name);
    TRY(ReadMember(name, value, manifest));
  }
  TRY(CheckStore(manifest));
  TRY(CheckIndices(manifest));
  return manifest;
}

bool IsTableFolder(const std::string& folder) {
  return Exists(folder, kManifestName) || (Exists(folder, "key") && Exists(folder, "emb_vector")) ||
         (Exists(folder, "keys.npy") && Exists(folder, "rows.npy"));
}

StatusOr<Manifest> ReadManifest(const std::string& folder) {
  Manifest manifest;
  if (Exists(folder, kManifestName)) {
    const std::string path = fmt::format("{}/{}", folder, kManifestName);
    const StatusOr<std::string> text = ReadWholeFile(path, kManifestBytesMax);
    if (!text.ok())
      return Error(text.status().code(), "cannot read {}: {}", path, MessageOf(text.status()));
    StatusOr<Manifest> parsed = ParseManifest(*text);
    if (!parsed.ok()) return InvalidArgument("{}: {}", path, MessageOf(parsed.status()));
    manifest = *std::move(parsed);
  } else if (!IsTableFolder(folder)) {
    return Error(
        StatusCode::kNotFound,
        "{} has no table: there is neither a {} nor the files key and emb_vector, nor keys.npy "
        "and rows.npy",
        folder, kManifestName);
  }
  Complete(folder, manifest);
  return manifest;
}

StatusOr<std::string> MakeRow(const std::vector<RowValue>& values, DType dtype,
                              uint64_t dimension) {
  if (values.size() != 1 && values.size() != dimension)
    return InvalidArgument("'default_row' has {} numbers; rows have {}", values.size(), dimension);
  std::string row;
  row.reserve(dimension * DTypeBytes(dtype));
  for (uint64_t i = 0; i < dimension; ++i) {
    const RowValue& value = values[values.size() == 1 ? 0 : i];
    if (!AppendValue(value, dtype, row))
      return InvalidArgument(
          "'default_row' has the number {}, which cannot be an element of type {}", value.number,
          DTypeName(dtype));
  }
  return row;
}

}  // namespace penstock::tables
