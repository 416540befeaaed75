// SPDX-License-Identifier: Apache-2.0
#include "base/encoding/crc32c.h"

#include <array>
#include <cstring>

#ifdef __x86_64__
#include <nmmintrin.h>
#endif

namespace penstock {
namespace {

// The Castagnoli polynomial, with its bits reversed, because bytes enter the sum with their lowest
// bit first.
constexpr uint32_t kPolynomialReflected = 0x82F63B78;

constexpr std::array<uint32_t, 256> MakeTable() {
  std::array<uint32_t, 256> table{};
  for (uint32_t i = 0; i < table.size(); ++i) {
    uint32_t crc = i;
    for (int bit = 0; bit < 8; ++bit)
      crc = (crc >> 1) ^ ((crc & 1) != 0 ? kPolynomialReflected : 0);
    table[i] = crc;
  }
  return table;
}
constexpr std::array<uint32_t, 256> kTable = MakeTable();

#ifdef __x86_64__
// The instruction has a latency of three cycles, but one can begin in each. So three parts of the
// bytes, of this size, are summed at the same time.
constexpr size_t kLaneBytes = 1024;

// What kLaneBytes zero bytes make of a sum: the sum is split into bytes, and the entries are
// combined.
struct LaneTable {
  uint32_t entries[4][256];
};
constexpr LaneTable MakeLaneTable() {
  uint32_t bits[32] = {};
  for (uint32_t bit = 0; bit < 32; ++bit) {
    uint32_t crc = uint32_t{1} << bit;
    for (size_t i = 0; i < kLaneBytes; ++i) crc = (crc >> 8) ^ kTable.data()[crc & 0xFF];
    bits[bit] = crc;
  }
  LaneTable table = {};
  for (uint32_t i = 0; i < 4 * 256 * 8; ++i) {
    const uint32_t byte = i / 8 / 256, value = i / 8 % 256, bit = i % 8;
    if ((value >> bit & 1) != 0) table.entries[byte][value] ^= bits[8 * byte + bit];
  }
  return table;
}
constexpr LaneTable kLaneTable = MakeLaneTable();

uint64_t SkipLane(uint64_t crc) {
  const auto& entries = kLaneTable.entries;
  return entries[0][crc & 0xFF] ^ entries[1][crc >> 8 & 0xFF] ^ entries[2][crc >> 16 & 0xFF] ^
         entries[3][crc >> 24 & 0xFF];
}

uint64_t LoadWord(const char* at) {
  uint64_t word = 0;
  std::memcpy(&word, at, sizeof word);
  return word;
}

// The attribute lets this one function use the instruction, while the program still runs on
// processors without it.
__attribute__((target("sse4.2"))) uint32_t Hardware(std::string_view bytes, uint32_t before) {
  // The algorithm starts from all ones and inverts the result. To continue a sum, undo the
  // inversion.
  uint64_t crc = ~before;
  while (bytes.size() >= 3 * kLaneBytes) {
    uint64_t second = 0, third = 0;
    const char* at = bytes.data();
    for (const char* const end = at + kLaneBytes; at < end; at += sizeof(uint64_t)) {
      crc = _mm_crc32_u64(crc, LoadWord(at));
      second = _mm_crc32_u64(second, LoadWord(at + kLaneBytes));
      third = _mm_crc32_u64(third, LoadWord(at + 2 * kLaneBytes));
    }
    crc = SkipLane(SkipLane(crc) ^ second) ^ third;
    bytes.remove_prefix(3 * kLaneBytes);
  }
  while (bytes.size() >= sizeof(uint64_t)) {
    crc = _mm_crc32_u64(crc, LoadWord(bytes.data()));
    bytes.remove_prefix(sizeof(uint64_t));
  }
  auto rest = static_cast<uint32_t>(crc);
  for (const char byte : bytes) rest = _mm_crc32_u8(rest, static_cast<uint8_t>(byte));
  return ~rest;
}
#endif

}  // namespace

uint32_t crc32c_internal::Portable(std::string_view bytes, uint32_t before) {
  uint32_t crc = ~before;
  for (const char byte : bytes)
    crc = (crc >> 8) ^ kTable[(crc ^ static_cast<uint8_t>(byte)) & 0xFF];
  return ~crc;
}

uint32_t Crc32c(std::string_view bytes, uint32_t before) {
#ifdef __x86_64__
  static const bool has_instruction = __builtin_cpu_supports("sse4.2");
  if (has_instruction) return Hardware(bytes, before);
#endif
  return crc32c_internal::Portable(bytes, before);
}

}  // namespace penstock
