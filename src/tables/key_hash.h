// SPDX-License-Identifier: Apache-2.0
// The hash of keys. Exporters compute the shard of a key with it, so it can never change:
// docs/tables.md has it in Python.
#pragma once

#include <cstdint>
#include <string_view>

namespace penstock::tables {

// Mixes all bits of `key` into all bits of the result (David Stafford's variant 13). Keys such as
// 1, 2, 3 would else crowd in a few buckets.
constexpr uint64_t MixKey(uint64_t key) {
  key = (key ^ (key >> 30)) * 0xBF58476D1CE4E5B9;
  key = (key ^ (key >> 27)) * 0x94D049BB133111EB;
  return key ^ (key >> 31);
}

constexpr uint64_t HashKey(int64_t key) { return MixKey(static_cast<uint64_t>(key)); }

// 64-bit FNV-1a, mixed: keys are short, and any language can compute it.
constexpr uint64_t HashKey(std::string_view key) {
  uint64_t hash = 0xCBF29CE484222325;
  for (const char c : key) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001B3;
  return MixKey(hash);
}

}  // namespace penstock::tables
