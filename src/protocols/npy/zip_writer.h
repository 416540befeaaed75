// SPDX-License-Identifier: Apache-2.0
// Writes a ZIP archive of stored files (PKWARE's APPNOTE.TXT, version 6.3).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/buffer.h"
#include "base/status.h"

namespace penstock::npy {

// Collects the files of one archive. Their bytes are not copied; only their checksums are computed.
//
//   ZipWriter zip;
//   TRY(zip.Add("scores.npy", std::move(file)));
//   return zip.Finish();
//
// All files have the date 1980-01-01, so that the same tensors give the same bytes. One thread at a
// time.
class ZipWriter final {
 public:
  // Appends a file. Errors: RESOURCE_EXHAUSTED if the archive would exceed 4 GiB, or 65,535 files.
  Status Add(std::string_view name, ByteChain file);
  // Returns the archive. Call it once, at the end.
  ByteChain Finish();

 private:
  ByteChain archive_;
  std::string directory_;
  uint16_t files_ = 0;
};

}  // namespace penstock::npy
