// SPDX-License-Identifier: Apache-2.0
// CRC32C, the checksum with Castagnoli's polynomial. TFRecord files and object stores use it.
#pragma once

#include <cstdint>
#include <string_view>

namespace penstock {

// Uses the processor's CRC instruction if there is one. `before` is the checksum of the bytes
// before these, to compute a checksum in pieces.
uint32_t Crc32c(std::string_view bytes, uint32_t before = 0);

// The checksum of `bytes` in the form that TFRecord files have: rotated, and with an offset.
uint32_t MaskedCrc32c(std::string_view bytes);

namespace crc32c_internal {
// Computes the same without that instruction.
uint32_t Portable(std::string_view bytes, uint32_t before = 0);
}  // namespace crc32c_internal

}  // namespace penstock
