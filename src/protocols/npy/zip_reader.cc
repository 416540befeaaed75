// SPDX-License-Identifier: Apache-2.0
// An archive is read from its end. The last record tells where the directory is, and the directory
// tells where each file is, how it is compressed, and its sizes. The header in front of each file
// repeats that, and may leave sizes out, so only the length of the header is taken from it.
//
// Offsets and sizes come from the client. Each one is checked against the archive before it is
// used.
#include "protocols/npy/zip_reader.h"

#include <zlib.h>

#include <algorithm>
#include <cstring>

namespace penstock::npy {
namespace {

constexpr uint32_t kFileSignature = 0x04034B50;
constexpr uint32_t kDirectorySignature = 0x02014B50;
constexpr uint32_t kEndSignature = 0x06054B50;
constexpr size_t kFileHeaderBytes = 30;
constexpr size_t kDirectoryHeaderBytes = 46;
constexpr size_t kEndBytes = 22;
constexpr size_t kCommentBytesMax = 65535;  // after the end record
constexpr uint16_t kEncrypted = 1;          // a flag
constexpr uint16_t kStored = 0, kDeflated = 8;
constexpr uint32_t kInZip64 = 0xFFFFFFFF;  // the value is in another record
// Deflate makes at most 1032 bytes of one. An entry that claims more is wrong, and need not be
// given memory.
constexpr uint64_t kDeflateRatioMax = 1032;

Status BadArchive(std::string_view what) {
  return InvalidArgument("the .npz file is no valid ZIP archive: {}", what);
}

// Reads a little-endian number at `at`, which is inside of `bytes`.
template <typename T>
T NumberAt(std::string_view bytes, size_t at) {
  T value;
  std::memcpy(&value, bytes.data() + at, sizeof(T));
  return value;
}

// One file as the directory describes it.
struct Description {
  std::string_view name;
  uint16_t flags, method;
  uint32_t checksum;
  uint64_t packed_bytes, bytes, at;
};

// Returns the offset of the end record.
StatusOr<size_t> FindEnd(std::string_view archive) {
  if (archive.size() < kEndBytes) return BadArchive("it is too short");
  const size_t last = archive.size() - kEndBytes;
  const size_t first = last - std::min(last, kCommentBytesMax);
  for (size_t at = last + 1; at-- > first;) {
    // The length of the comment must fit, or bytes of a comment could pass for the record.
    if (NumberAt<uint32_t>(archive, at) == kEndSignature &&
        NumberAt<uint16_t>(archive, at + 20) == last - at)
      return at;
  }
  return BadArchive("its directory is missing; an upload may have been cut off");
}

// Removes the next description from the front of `directory`.
StatusOr<Description> TakeDescription(std::string_view& directory) {
  if (directory.size() < kDirectoryHeaderBytes ||
      NumberAt<uint32_t>(directory, 0) != kDirectorySignature)
    return BadArchive("its directory is damaged");
  const size_t name_bytes = NumberAt<uint16_t>(directory, 28);
  const size_t bytes = kDirectoryHeaderBytes + name_bytes + NumberAt<uint16_t>(directory, 30) +
                       NumberAt<uint16_t>(directory, 32);
  if (bytes > directory.size()) return BadArchive("its directory is damaged");
  const Description description{.name = directory.substr(kDirectoryHeaderBytes, name_bytes),
                                .flags = NumberAt<uint16_t>(directory, 8),
                                .method = NumberAt<uint16_t>(directory, 10),
                                .checksum = NumberAt<uint32_t>(directory, 16),
                                .packed_bytes = NumberAt<uint32_t>(directory, 20),
                                .bytes = NumberAt<uint32_t>(directory, 24),
                                .at = NumberAt<uint32_t>(directory, 42)};
  directory.remove_prefix(bytes);
  return description;
}

// Returns the file's bytes as they are in the archive.
StatusOr<Slice> PackedBytes(const Slice& archive, const Description& file) {
  const std::string_view bytes = archive.view();
  if (file.at > bytes.size() || bytes.size() - file.at < kFileHeaderBytes ||
      NumberAt<uint32_t>(bytes, file.at) != kFileSignature)
    return BadArchive(fmt::format("the header of '{:.100}' is damaged", file.name));
  const uint64_t at = file.at + kFileHeaderBytes + NumberAt<uint16_t>(bytes, file.at + 26) +
                      NumberAt<uint16_t>(bytes, file.at + 28);
  if (at > bytes.size() || bytes.size() - at < file.packed_bytes)
    return BadArchive(fmt::format("'{:.100}' is cut off", file.name));
  return Slice{archive.data + at, file.packed_bytes, archive.owner};
}

StatusOr<Slice> Inflate(const Slice& packed, const Description& file, RequestMemory& memory) {
  if (file.bytes > kDeflateRatioMax * packed.size + kDeflateRatioMax)
    return BadArchive(fmt::format("'{:.100}' cannot have the size that it claims", file.name));
  if (file.bytes > memory.bytes_left()) {
    return Error(StatusCode::kResourceExhausted, "'{:.100}' takes {} bytes; the limit is {}",
                 file.name, file.bytes, memory.bytes_left());
  }
  ASSIGN_OR_RETURN(BufferRef plain, memory.Allocate(file.bytes));
  memory.Take(file.bytes);
  z_stream stream = {};
  if (inflateInit2(&stream, -MAX_WBITS) != Z_OK) return OutOfMemory("inflating a file");
  // Both sizes are 32-bit numbers of the directory, as zlib's are.
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<std::byte*>(packed.data));
  stream.avail_in = static_cast<uInt>(packed.size);
  stream.next_out = reinterpret_cast<Bytef*>(plain->data());
  stream.avail_out = static_cast<uInt>(file.bytes);
  const int result = inflate(&stream, Z_FINISH);
  const bool is_whole = result == Z_STREAM_END && stream.avail_out == 0;
  inflateEnd(&stream);
  if (!is_whole)
    return BadArchive(fmt::format("'{:.100}' is not deflated as it claims", file.name));
  return WholeSlice(std::move(plain));
}

StatusOr<Slice> ReadFile(const Slice& archive, const Description& file, RequestMemory& memory) {
  if ((file.flags & kEncrypted) != 0)
    return InvalidArgument("'{:.100}' in the .npz file is encrypted", file.name);
  if (file.method != kStored && file.method != kDeflated) {
    return InvalidArgument(
        "'{:.100}' in the .npz file has the compression {}: use numpy.savez or "
        "numpy.savez_compressed",
        file.name, file.method);
  }
  ASSIGN_OR_RETURN(Slice data, PackedBytes(archive, file));
  if (file.method == kDeflated) {
    ASSIGN_OR_RETURN(data, Inflate(data, file, memory));
  } else if (data.size != file.bytes) {
    return BadArchive(fmt::format("'{:.100}' has two sizes", file.name));
  }
  if (crc32_z(0, reinterpret_cast<const Bytef*>(data.data), data.size) != file.checksum)
    return BadArchive(fmt::format("the checksum of '{:.100}' is wrong", file.name));
  return data;
}

}  // namespace

StatusOr<std::vector<ZipEntry>> ReadZip(const Slice& archive, size_t entries_max,
                                        RequestMemory& memory) {
  const std::string_view bytes = archive.view();
  ASSIGN_OR_RETURN(const size_t end, FindEnd(bytes));
  const size_t count = NumberAt<uint16_t>(bytes, end + 10);
  const uint32_t size = NumberAt<uint32_t>(bytes, end + 12);
  const uint32_t at = NumberAt<uint32_t>(bytes, end + 16);
  if (size == kInZip64 || at == kInZip64) return BadArchive("it needs ZIP64, which is not read");
  if (NumberAt<uint16_t>(bytes, end + 8) != count) return BadArchive("it has several parts");
  if (count > entries_max)
    return InvalidArgument("the .npz file has {} arrays; at most {} are read", count, entries_max);
  if (at > end || size > end - at) return BadArchive("its directory is damaged");
  std::string_view directory = bytes.substr(at, size);
  std::vector<ZipEntry> entries;
  entries.reserve(count);
  // Without this check a directory of a few kilobytes could name one large file thousands of times,
  // and each time its checksum would be computed.
  uint64_t bytes_left = at;
  for (size_t i = 0; i < count; ++i) {
    ASSIGN_OR_RETURN(const Description file, TakeDescription(directory));
    const uint64_t taken = kFileHeaderBytes + file.name.size() + file.packed_bytes;
    if (taken > bytes_left) return BadArchive("its files overlap");
    bytes_left -= taken;
    ASSIGN_OR_RETURN(Slice data, ReadFile(archive, file, memory));
    entries.push_back({file.name, std::move(data)});
  }
  return entries;
}

}  // namespace penstock::npy
