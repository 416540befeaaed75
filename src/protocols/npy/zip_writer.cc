// SPDX-License-Identifier: Apache-2.0
#include "protocols/npy/zip_writer.h"

#include <zlib.h>

#include <limits>
#include <utility>

namespace penstock::npy {
namespace {

constexpr uint16_t kVersion = 20;
constexpr uint16_t kUtf8Name = 1 << 11;  // a flag
constexpr uint16_t kMethodStored = 0;
// The date 1980-01-01, the first one that ZIP knows. So equal tensors make equal archives.
constexpr uint16_t kTime = 0, kDate = 0x21;

template <typename... Numbers>
void AppendNumbers(std::string& to, Numbers... numbers) {
  (to.append(reinterpret_cast<const char*>(&numbers), sizeof(numbers)), ...);
}

uint32_t ChecksumOf(const ByteChain& file) {
  uLong checksum = 0;
  for (const Slice& slice : file.slices())
    checksum = crc32_z(checksum, reinterpret_cast<const Bytef*>(slice.data), slice.size);
  return static_cast<uint32_t>(checksum);
}

}  // namespace

Status ZipWriter::Add(std::string_view name, ByteChain file) {
  constexpr uint64_t kBytesMax = std::numeric_limits<uint32_t>::max();
  constexpr uint16_t kCountMax = std::numeric_limits<uint16_t>::max();
  const uint64_t at = archive_.bytes();
  if (at + file.bytes() + directory_.size() + 4096 > kBytesMax || files_ == kCountMax ||
      name.size() > kCountMax) {
    return Error(StatusCode::kResourceExhausted,
                 "the .npz file would exceed ZIP's limit of 4 GiB or {} arrays", kCountMax);
  }
  const auto bytes = static_cast<uint32_t>(file.bytes());
  const auto name_bytes = static_cast<uint16_t>(name.size());
  // The fields that the header of the file and its description in the directory share.
  std::string shared;
  AppendNumbers(shared, kVersion, kUtf8Name, kMethodStored, kTime, kDate, ChecksumOf(file), bytes,
                bytes, name_bytes, uint16_t{0});

  std::string header("PK\x03\x04");
  header.append(shared).append(name);
  directory_.append("PK\x01\x02");
  AppendNumbers(directory_, kVersion);
  directory_.append(shared);
  // No comment, the first disk, no attributes.
  AppendNumbers(directory_, uint16_t{0}, uint16_t{0}, uint16_t{0}, uint32_t{0},
                static_cast<uint32_t>(at));
  directory_.append(name);

  archive_.AppendCopy(header);
  archive_.Append(std::move(file));
  ++files_;
  return OkStatus();
}

ByteChain ZipWriter::Finish() {
  const auto at = static_cast<uint32_t>(archive_.bytes());
  const auto bytes = static_cast<uint32_t>(directory_.size());
  directory_.append("PK\x05\x06");
  AppendNumbers(directory_, uint16_t{0}, uint16_t{0}, files_, files_, bytes, at, uint16_t{0});
  archive_.AppendCopy(directory_);
  return std::move(archive_);
}

}  // namespace penstock::npy
