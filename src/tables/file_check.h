// SPDX-License-Identifier: Apache-2.0
// Reads whole files to compare their checksums.
#pragma once

#include <atomic>
#include <cstdint>

#include "base/status.h"
#include "tables/mapped_file.h"

namespace penstock::tables {

// Compares the CRC32C of all bytes from `begin` on. Reads past the mapping: what is not in memory
// comes from the disk without taking the memory of what is. Slow. Errors: DATA_LOSS, with both
// checksums, or INTERNAL if it cannot be read; CANCELLED if `stop` was set.
Status CheckFile(const MappedFile& file, uint64_t begin, uint32_t checksum,
                 const std::atomic<bool>& stop);

}  // namespace penstock::tables
