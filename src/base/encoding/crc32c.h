// SPDX-License-Identifier: Apache-2.0
// CRC32C, the checksum with Castagnoli's polynomial. TFRecord files and object stores use it.
#pragma once

#include <bit>
#include <cstdint>
#include <string_view>

namespace penstock {

// Returns the checksum of `bytes` (RFC 3720, appendix B.4, has test values). Uses the processor's
// CRC instruction if there is one. `before` is the checksum of the bytes before these, to compute a
// checksum in pieces. Thread-safe.
uint32_t Crc32c(std::string_view bytes, uint32_t before = 0);

// Brings a checksum into the form that TFRecord files have: rotated, and with an offset
// (tensorflow/core/lib/hash/crc32c.h). The mask makes the checksum of data that holds checksums
// useful.
constexpr uint32_t MaskCrc32c(uint32_t checksum) {
  constexpr uint32_t kMaskDelta = 0xA282EAD8;
  return std::rotr(checksum, 15) + kMaskDelta;
}
// The checksum of `bytes` in that form.
inline uint32_t MaskedCrc32c(std::string_view bytes) { return MaskCrc32c(Crc32c(bytes)); }

namespace crc32c_internal {
// Computes the same without that instruction.
uint32_t Portable(std::string_view bytes, uint32_t before = 0);
}  // namespace crc32c_internal

}  // namespace penstock
