// SPDX-License-Identifier: Apache-2.0
// A TFRecord file: records one after the other, each as length (8 bytes), checksum of the length,
// data, checksum of the data (4 bytes each, little-endian; CRC32C, masked).
#pragma once

#include <cstdint>
#include <istream>
#include <string>

#include "base/status.h"
#include "protocols/tfs/wire_reader.h"

namespace penstock::tfs {

// One thread at a time. `file` outlives it.
class RecordReader final {
 public:
  // `record_bytes_max`: a longer record is an error. The default is the longest message there is.
  explicit RecordReader(std::istream& file, uint64_t record_bytes_max = kLengthMax)
      : file_(file), record_bytes_max_(record_bytes_max) {}

  // Puts the next record into `record`; false at the end of the file. Takes no more memory than the
  // file has bytes, whatever lengths it claims. Errors: DATA_LOSS: a checksum does not fit, a
  // record is cut off or too long, the file cannot be read. The reader is then of no further use.
  StatusOr<bool> Next(std::string& record);

 private:
  // Appends `bytes` bytes to `to`; how many there were.
  uint64_t Read(uint64_t bytes, std::string& to);
  Status ReadLength(std::string& head, uint64_t& length);
  Status CutOff(std::string_view what) const;

  std::istream& file_;
  const uint64_t record_bytes_max_;
  uint64_t begin_ = 0;   // of the record that is read
  uint64_t offset_ = 0;  // of the next byte
};

// What stands in the file for the checksum of `bytes`.
uint32_t MaskedCrc32c(std::string_view bytes);

}  // namespace penstock::tfs
