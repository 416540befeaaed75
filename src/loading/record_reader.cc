// SPDX-License-Identifier: Apache-2.0
#include "loading/record_reader.h"

#include <algorithm>
#include <cstring>

#include "base/encoding/crc32c.h"

namespace penstock {
namespace {

// A TFRecord file is a sequence of records: the length (8 bytes), its checksum (4), the data, and
// its checksum (4), all little-endian.
constexpr size_t kLengthBytes = 8;
constexpr size_t kSumBytes = 4;
// The first step of memory for a record; later steps double. Never trust the length for the
// allocation: the file may be shorter.
constexpr uint64_t kStepBytes = 64 * 1024;

template <typename T>
T ReadLittleEndian(const char* bytes) {
  static_assert(std::endian::native == std::endian::little);
  T value;
  std::memcpy(&value, bytes, sizeof value);
  return value;
}

}  // namespace

// The format masks its checksums, because the CRC of data that contains CRCs is weak.

uint64_t RecordReader::Read(uint64_t bytes, std::string& to) {
  uint64_t done = 0;
  while (done < bytes) {
    const uint64_t step = std::min(bytes - done, std::max(kStepBytes, done));
    const size_t before = to.size();
    to.resize(before + step);
    file_.read(to.data() + before, static_cast<std::streamsize>(step));
    const auto got = static_cast<uint64_t>(file_.gcount());
    to.resize(before + got);
    done += got;
    if (got < step) break;
  }
  offset_ += done;
  return done;
}

Status RecordReader::CutOff(std::string_view what) const {
  if (file_.bad()) return Error(StatusCode::kDataLoss, "cannot be read at byte {}", offset_);
  return Error(StatusCode::kDataLoss,
               "the file ends at byte {}, in the {} of the record at byte {}", offset_, what,
               begin_);
}

Status RecordReader::ReadLength(std::string& head, uint64_t& length) {
  if (head.size() < kLengthBytes + kSumBytes) return CutOff("length");
  length = ReadLittleEndian<uint64_t>(head.data());
  // Check this before the length is used: a damaged length could be of any size.
  if (ReadLittleEndian<uint32_t>(head.data() + kLengthBytes) !=
      MaskedCrc32c(std::string_view(head).substr(0, kLengthBytes))) {
    return Error(StatusCode::kDataLoss,
                 "the checksum of the length at byte {} is wrong: the file is damaged, or it is no "
                 "uncompressed TFRecord file",
                 begin_);
  }
  if (length > record_bytes_max_) {
    return Error(StatusCode::kDataLoss, "the record at byte {} has {} bytes: more than {}", begin_,
                 length, record_bytes_max_);
  }
  return OkStatus();
}

StatusOr<bool> RecordReader::Next(std::string& record) {
  record.clear();
  begin_ = offset_;
  std::string head;
  // The file may end only between two records.
  if (Read(kLengthBytes + kSumBytes, head) == 0 && !file_.bad()) return false;
  uint64_t length = 0;
  TRY(ReadLength(head, length));
  if (Read(length, record) < length) return CutOff("data");
  std::string sum;
  if (Read(kSumBytes, sum) < kSumBytes) return CutOff("checksum");
  if (ReadLittleEndian<uint32_t>(sum.data()) != MaskedCrc32c(record)) {
    return Error(StatusCode::kDataLoss,
                 "the checksum of the record at byte {} is wrong: the file is damaged", begin_);
  }
  return true;
}

}  // namespace penstock
