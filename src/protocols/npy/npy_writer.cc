// SPDX-License-Identifier: Apache-2.0
#include "protocols/npy/npy_writer.h"

#include <algorithm>
#include <cstring>
#include <string_view>

#include "protocols/npy/npy_header.h"

namespace penstock::npy {
namespace {

// Padding can make an answer thousands of times as large as its strings. Above the first limit, an
// answer may be this many times as large.
constexpr uint64_t kPaddedBytesFree = 16 << 20;
constexpr uint64_t kPaddedRatioMax = 16;

std::string_view NumpyTypeName(DType type) {
  switch (type) {
    case DType::kBool:
      return "|b1";
    case DType::kInt8:
    case DType::kQint8:
      return "|i1";
    case DType::kUint8:
    case DType::kQuint8:
      return "|u1";
    case DType::kInt16:
    case DType::kQint16:
      return "<i2";
    case DType::kUint16:
    case DType::kQuint16:
      return "<u2";
    case DType::kInt32:
    case DType::kQint32:
      return "<i4";
    case DType::kUint32:
      return "<u4";
    case DType::kInt64:
      return "<i8";
    case DType::kUint64:
      return "<u8";
    case DType::kFloat16:
      return "<f2";
    case DType::kFloat32:
      return "<f4";
    case DType::kFloat64:
      return "<f8";
    case DType::kComplex64:
      return "<c8";
    case DType::kComplex128:
      return "<c16";
    case DType::kBfloat16:
      return "|V2";
    case DType::kString:
    case DType::kInvalid:
      break;
  }
  return {};
}

StatusOr<ByteChain> WriteStrings(const Tensor& tensor, RequestMemory* memory) {
  size_t longest = 1;  // older versions of numpy cannot read strings of no bytes
  for (const StringElement& element : tensor.strings()) {
    const std::string_view text = element.view();
    if (text.ends_with('\0')) {
      return InvalidArgument(
          "a string ends in a zero byte, which numpy's type 'S' drops: ask for JSON or protobuf");
    }
    longest = std::max(longest, text.size());
  }
  uint64_t bytes = 0;
  const bool is_countable = !__builtin_mul_overflow(longest, tensor.strings().size(), &bytes);
  if (!is_countable ||
      (bytes > kPaddedBytesFree && bytes / kPaddedRatioMax > tensor.StringBytes())) {
    return Error(
        StatusCode::kResourceExhausted,
        "{} strings of {} bytes, padded to the longest one of {} bytes, would be more than "
        "{} times as large: ask for JSON or protobuf",
        tensor.strings().size(), tensor.StringBytes(), longest, kPaddedRatioMax);
  }
  BufferRef padded;
  if (memory != nullptr) {
    ASSIGN_OR_RETURN(padded, memory->Allocate(bytes));
  } else {
    padded = AllocateBuffer(bytes);
  }
  std::memset(padded->data(), 0, bytes);
  std::byte* to = padded->data();
  for (const StringElement& element : tensor.strings()) {
    if (element.size > 0) std::memcpy(to, element.data, element.size);
    to += longest;
  }
  ByteChain file;
  file.AppendCopy(WriteNpyHeader(fmt::format("|S{}", longest), tensor.shape()));
  file.Append(WholeSlice(std::move(padded)));
  return file;
}

}  // namespace

StatusOr<ByteChain> WriteNpy(const Tensor& tensor, RequestMemory* memory) {
  if (tensor.dtype() == DType::kString) return WriteStrings(tensor, memory);
  const std::string_view type = NumpyTypeName(tensor.dtype());
  if (type.empty()) return absl::InternalError("the tensor has no type");
  ByteChain file;
  file.AppendCopy(WriteNpyHeader(type, tensor.shape()));
  file.Append(tensor.elements());
  return file;
}

}  // namespace penstock::npy
