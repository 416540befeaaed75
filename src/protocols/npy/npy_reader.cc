// SPDX-License-Identifier: Apache-2.0
// Most files are in the machine's own form: C order, little-endian, numbers. Their elements are
// viewed where they lie. Three kinds need a copy: arrays in Fortran order, whose elements are
// permuted; big-endian numbers, whose bytes are swapped; and texts, which numpy stores as UCS-4 and
// tensors as UTF-8. The size of the data is compared with the shape first, so that no copy reads
// beyond the file.
#include "protocols/npy/npy_reader.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <utility>

#include "protocols/npy/npy_header.h"

namespace penstock::npy {
namespace {

// numpy pads strings with zeros, so zeros at the end are none of the string's.
std::string_view WithoutPadding(std::string_view bytes) {
  const size_t last = bytes.find_last_not_of('\0');
  return last == bytes.npos ? std::string_view() : bytes.substr(0, last + 1);
}

StatusOr<Tensor> ReadBytes(const NpyHeader& header, const Slice& data, RequestMemory& memory) {
  ASSIGN_OR_RETURN(Tensor tensor, Tensor::Allocate(DType::kString, header.shape, memory));
  const size_t bytes = header.format.bytes;
  std::string_view rest = data.view();
  for (StringElement& element : tensor.mutable_as<StringElement>()) {
    const std::string_view text = WithoutPadding(rest.substr(0, bytes));
    element = {text.data(), text.size()};
    rest.remove_prefix(bytes);
  }
  tensor.set_string_owner(data.owner);
  return tensor;
}

uint32_t CharacterAt(const std::byte* data, bool is_big_endian) {
  uint32_t character;
  std::memcpy(&character, data, sizeof(character));
  return is_big_endian ? __builtin_bswap32(character) : character;
}

// The length in UTF-8, or 0 if Unicode has no such character.
size_t Utf8Bytes(uint32_t character) {
  if (character < 0x80) return 1;
  if (character < 0x800) return 2;
  if (character >= 0xD800 && character < 0xE000) return 0;  // half of a surrogate pair
  if (character < 0x10000) return 3;
  return character < 0x110000 ? 4 : 0;
}

char* AppendUtf8(char* to, uint32_t character) {
  const size_t bytes = Utf8Bytes(character);
  if (bytes == 1) {
    *to = static_cast<char>(character);
    return to + 1;
  }
  constexpr std::array<uint32_t, 5> kFirstByte = {0, 0, 0xC0, 0xE0, 0xF0};
  for (size_t i = bytes - 1; i > 0; --i) {
    to[i] = static_cast<char>(0x80 | (character & 0x3F));
    character >>= 6;
  }
  to[0] = static_cast<char>(kFirstByte[bytes] | character);
  return to + bytes;
}

// Converts numpy's texts, which are UCS-4, to UTF-8.
StatusOr<Tensor> ReadTexts(const NpyHeader& header, const Slice& data, RequestMemory& memory) {
  constexpr size_t kBytes = 4;  // of one character
  const bool is_big_endian = header.format.is_big_endian;
  ASSIGN_OR_RETURN(Tensor tensor, Tensor::Allocate(DType::kString, header.shape, memory));
  // UTF-8 never takes more bytes than UCS-4.
  if (data.size > memory.bytes_left()) {
    return Error(StatusCode::kResourceExhausted,
                 "the texts of the .npy file take up to {} bytes; the limit is {}", data.size,
                 memory.bytes_left());
  }
  ASSIGN_OR_RETURN(BufferRef utf8, memory.Allocate(data.size));
  memory.Take(data.size);
  const size_t characters = header.format.bytes / kBytes;
  char* to = reinterpret_cast<char*>(utf8->data());
  const std::byte* from = data.data;
  for (StringElement& element : tensor.mutable_as<StringElement>()) {
    size_t length = characters;
    while (length > 0 && CharacterAt(from + (length - 1) * kBytes, is_big_endian) == 0) --length;
    char* const start = to;
    for (size_t i = 0; i < length; ++i) {
      const uint32_t character = CharacterAt(from + i * kBytes, is_big_endian);
      if (Utf8Bytes(character) == 0) {
        return InvalidArgument("the .npy file has the character {:#x}, which is not Unicode",
                               character);
      }
      to = AppendUtf8(to, character);
    }
    element = {start, static_cast<size_t>(to - start)};
    from += header.format.bytes;
  }
  tensor.set_string_owner(std::move(utf8));
  return tensor;
}

// Reverses the bytes of each number of `size` bytes.
void SwapBytes(std::span<std::byte> data, size_t size) {
  for (size_t at = 0; at < data.size(); at += size)
    std::reverse(data.begin() + static_cast<ptrdiff_t>(at),
                 data.begin() + static_cast<ptrdiff_t>(at + size));
}

// Copies an array whose first dimension varies fastest to one whose last dimension does.
template <size_t kBytes>
void CopyTransposed(const Shape& shape, const std::byte* from, Tensor& to) {
  // Only dimensions of two elements or more. With the others, the loop over the axes could take 254
  // steps for each element.
  absl::InlinedVector<size_t, 8> sizes, strides;
  size_t stride = kBytes;
  for (const int64_t dim : shape.dims()) {
    const auto size = static_cast<size_t>(dim);
    if (size > 1) {
      sizes.push_back(size);
      strides.push_back(stride);
    }
    stride *= size;
  }
  const size_t rank = sizes.size();
  absl::InlinedVector<size_t, 8> index(rank, 0);
  std::byte* out = to.mutable_data();
  size_t at = 0;  // the offset of the element `index` in `from`
  for (int64_t i = 0; i < to.element_count(); ++i, out += kBytes) {
    std::memcpy(out, from + at, kBytes);
    for (size_t axis = rank; axis-- > 0;) {
      at += strides[axis];
      if (++index[axis] < sizes[axis]) break;
      at -= strides[axis] * index[axis];
      index[axis] = 0;
    }
  }
}

void CopyTransposed(const Shape& shape, const std::byte* from, size_t element_bytes, Tensor& to) {
  switch (element_bytes) {
    case 1:
      return CopyTransposed<1>(shape, from, to);
    case 2:
      return CopyTransposed<2>(shape, from, to);
    case 4:
      return CopyTransposed<4>(shape, from, to);
    case 8:
      return CopyTransposed<8>(shape, from, to);
    default:
      return CopyTransposed<16>(shape, from, to);
  }
}

StatusOr<Tensor> ReadNumbers(const NpyHeader& header, const Slice& data, RequestMemory& memory) {
  const DType type = header.format.dtype;
  // The runtimes read these bytes as C++ bools, and any other value would be undefined behaviour.
  const std::string_view bytes = data.view();
  if (type == DType::kBool &&
      !std::all_of(bytes.begin(), bytes.end(), [](char c) { return (c & ~1) == 0; })) {
    return InvalidArgument("the .npy file has bools with bytes other than 0 and 1");
  }
  const bool is_transposed = header.is_fortran_order && header.shape.rank() > 1;
  if (!is_transposed && !header.format.is_big_endian)
    return Tensor::ViewOrCopy(type, header.shape, data, memory);
  ASSIGN_OR_RETURN(Tensor tensor, Tensor::Allocate(type, header.shape, memory));
  if (is_transposed) {
    CopyTransposed(header.shape, data.data, header.format.bytes, tensor);
  } else if (data.size > 0) {
    std::memcpy(tensor.mutable_data(), data.data, data.size);
  }
  if (header.format.is_big_endian) {
    const bool is_complex = type == DType::kComplex64 || type == DType::kComplex128;
    SwapBytes({tensor.mutable_data(), data.size}, header.format.bytes / (is_complex ? 2 : 1));
  }
  return tensor;
}

}  // namespace

StatusOr<Tensor> ReadNpy(const Slice& file, RequestMemory& memory) {
  ASSIGN_OR_RETURN(const NpyHeader header, ReadNpyHeader(file.view()));
  const Slice data{file.data + header.data_at, file.size - header.data_at, file.owner};
  const std::optional<int64_t> count = header.shape.ElementCount();
  uint64_t bytes = 0;
  if (!count ||
      __builtin_mul_overflow(static_cast<uint64_t>(*count), header.format.bytes, &bytes) ||
      bytes != data.size) {
    return InvalidArgument(
        "the .npy file has {} bytes of elements; its shape {} with {} bytes for each needs {}",
        data.size, header.shape.ToString(), header.format.bytes,
        count ? fmt::format("{}", bytes) : "more than can be addressed");
  }
  if (header.format.dtype != DType::kString) return ReadNumbers(header, data, memory);
  if (header.is_fortran_order && header.shape.rank() > 1) {
    return InvalidArgument(
        "the .npy file has strings in Fortran order: save the array in C order, with "
        "numpy.ascontiguousarray");
  }
  return header.format.is_text ? ReadTexts(header, data, memory) : ReadBytes(header, data, memory);
}

}  // namespace penstock::npy
