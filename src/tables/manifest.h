// SPDX-License-Identifier: Apache-2.0
// What a version folder says about its table: the file table.json.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "tables/redis_settings.h"
#include "tensor/dtype.h"

namespace penstock::tables {

inline constexpr std::string_view kManifestName = "table.json";
inline constexpr uint64_t kDimensionMax = uint64_t{1} << 20;
inline constexpr uint32_t kShardsMax = 1 << 16;

// How clients name rows.
enum class KeyType : uint8_t {
  kInt64 = 1,
  kString = 2,
  kDense = 3,       // the key is the number of the row
  kVocabulary = 4,  // there are no rows: strings get the number of their line
};
std::string_view KeyTypeName(KeyType type);

// The part of a table that a folder holds.
struct Shard {
  uint32_t index = 0;
  uint32_t count = 1;  // 1: the whole table

  bool operator==(const Shard&) const = default;
};

// A number of the file, which becomes an element of any type.
struct RowValue {
  double number = 0;
  std::optional<int64_t> whole;  // set if it was written as a whole number
};

// The contents of table.json. Members that are not set are not in the file. Immutable.
struct Manifest {
  std::string store;  // "files", which is the default, or "redis"
  std::optional<KeyType> key_type;
  std::optional<DType> dtype;
  std::optional<uint64_t> dimension;
  std::string keys_file;  // names of files in the folder
  std::string rows_file;
  std::vector<RowValue> default_row;  // one value: all elements are it
  // int32 or int64: keys of dense tables have this type, and mean what the indices of ONNX's Gather
  // mean. A negative one counts from the end, and one outside of the table is an error.
  std::optional<DType> indices;
  Shard shard;
  std::optional<RedisSettings> redis;  // the rows are in a Redis cluster, and there are no files
  std::map<std::string, uint32_t> checksums;  // CRC32C by the name of the file
  std::optional<uint64_t> cache_bytes;        // of hot rows of files; 0: none are kept
};

// Parses the text of table.json. Errors: INVALID_ARGUMENT, with the member and what would be right.
StatusOr<Manifest> ParseManifest(std::string_view json);

// True if the folder has a table.json, or the two files of NVIDIA's parameter server (HPS), `key`
// and `emb_vector`, or numpy's files `keys.npy` and `rows.npy`.
bool IsTableFolder(const std::string& folder);

// Reads the folder's table.json. Without one, the keys are int64, and the rows of HPS float32. The
// key type and the names of files that table.json leaves out are filled in. Errors: those of
// ParseManifest, and of reading the file, with the path.
StatusOr<Manifest> ReadManifest(const std::string& folder);

// Returns the bytes of a row of these values. INVALID_ARGUMENT if their number is neither 1 nor
// `dimension`, or the type cannot hold one of them.
StatusOr<std::string> MakeRow(const std::vector<RowValue>& values, DType dtype, uint64_t dimension);

}  // namespace penstock::tables
