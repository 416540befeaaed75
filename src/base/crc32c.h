// SPDX-License-Identifier: Apache-2.0
// CRC32C: the checksum (polynomial of Castagnoli) of TFRecord files and object stores.
#pragma once

#include <cstdint>
#include <string_view>

namespace penstock {

// With the processor's own instruction where it has one. `before`: the checksum of the bytes that
// stand before these.
uint32_t Crc32c(std::string_view bytes, uint32_t before = 0);

namespace crc32c_internal {
// The same without that instruction.
uint32_t Portable(std::string_view bytes, uint32_t before = 0);
}  // namespace crc32c_internal

}  // namespace penstock
