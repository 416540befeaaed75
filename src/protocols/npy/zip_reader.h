// SPDX-License-Identifier: Apache-2.0
// Reads the entries of a ZIP archive in memory. Source: PKWARE's APPNOTE.TXT, version 6.3. numpy's
// .npz files are such archives.
#pragma once

#include <string_view>
#include <vector>

#include "base/buffer.h"
#include "base/request_memory.h"
#include "base/status.h"

namespace penstock::npy {

// One file in the archive.
struct ZipEntry {
  std::string_view name;  // a view of the archive
  Slice data;
};

// Returns the entries in the order of the archive's directory. The data of stored entries is viewed
// in place; that of deflated ones is inflated into memory from `memory`. Checksums are checked. Two
// entries may have one name.
// The work is linear in the bytes of the archive and of the entries, because entries may not
// overlap. Errors: INVALID_ARGUMENT for a malformed archive, more than `entries_max` entries, and
// features that numpy does not write: encryption, several disks, ZIP64, other kinds of compression.
// RESOURCE_EXHAUSTED: `memory` is used up.
StatusOr<std::vector<ZipEntry>> ReadZip(const Slice& archive, size_t entries_max,
                                        RequestMemory& memory);

}  // namespace penstock::npy
