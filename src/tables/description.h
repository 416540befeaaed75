// SPDX-License-Identifier: Apache-2.0
// What a table says of itself: the answer of the signature "table". A server that divides the keys
// among shards reads it.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/status.h"
#include "infer/request.h"
#include "infer/signature.h"
#include "tables/key_hash.h"
#include "tables/manifest.h"
#include "tensor/dtype.h"

namespace penstock::tables {

inline constexpr std::string_view kTableSignature = "table";

// Plain data.
struct TableDescription {
  KeyType key_type = KeyType::kInt64;
  DType dtype = DType::kFloat32;
  uint64_t dimension = 0;
  uint64_t rows = 0;
  Shard shard;
  std::string default_row = {};  // its bytes; empty: there is none
};

// The signature of the description of a table whose rows have this type.
Signature DescriptionSignature(DType rows);
// The outputs of that signature.
StatusOr<NamedTensors> WriteDescription(const TableDescription& table);
// Reads what another server has answered, which may be anything. INVALID_ARGUMENT: it is no table
// with rows.
StatusOr<TableDescription> ReadDescription(const NamedTensors& outputs);

// The shard of a key is this, modulo the number of shards.
constexpr uint64_t ShardHash(KeyType type, int64_t key) {
  return type == KeyType::kDense ? static_cast<uint64_t>(key) : HashKey(key);
}
constexpr uint64_t ShardHash(std::string_view key) { return HashKey(key); }

}  // namespace penstock::tables
