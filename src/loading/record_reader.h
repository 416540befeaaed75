// SPDX-License-Identifier: Apache-2.0
// Reads TFRecord files. Each record has a length (8 bytes), the checksum of the length, the data,
// and the checksum of the data. Checksums have 4 bytes; they are masked CRC32C. All numbers are
// little-endian.
#pragma once

#include <cstdint>
#include <istream>
#include <string>

#include "base/status.h"
#include "protocols/tfs/wire_reader.h"

namespace penstock {

// Reads the records of one file (tensorflow/core/lib/io/record_reader.h has the format).
//
//   std::ifstream file(path, std::ios::binary);
//   RecordReader reader(file);
//   std::string record;
//   for (;;) {
//     ASSIGN_OR_RETURN(const bool has_record, reader.Next(record));
//     if (!has_record) break;
//     Use(record);
//   }
//
// One thread at a time. `file` outlives it.
class RecordReader final {
 public:
  // A record longer than `record_bytes_max` is an error. The default is the longest possible
  // message.
  explicit RecordReader(std::istream& file, uint64_t record_bytes_max = tfs::kLengthMax)
      : file_(file), record_bytes_max_(record_bytes_max) {}

  // Reads the next record into `record`. Returns false at the end of the file. Takes no more memory
  // than the file has bytes, whatever lengths the file contains. Errors: DATA_LOSS if a checksum is
  // wrong, a record is cut off or too long, or the file cannot be read. Do not use the reader after
  // an error.
  StatusOr<bool> Next(std::string& record);

 private:
  // Appends up to `bytes` bytes to `to`, and returns how many.
  uint64_t Read(uint64_t bytes, std::string& to);
  Status ReadLength(std::string& head, uint64_t& length);
  Status CutOff(std::string_view what) const;

  std::istream& file_;
  const uint64_t record_bytes_max_;
  uint64_t begin_ = 0;   // of the current record
  uint64_t offset_ = 0;  // of the next byte
};

}  // namespace penstock
