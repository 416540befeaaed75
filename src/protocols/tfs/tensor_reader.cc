// SPDX-License-Identifier: Apache-2.0
// How a TensorProto becomes a tensor. Its elements come in one of two forms: raw bytes in
// tensor_content, or one field of typed values, packed or not, in any number of pieces.
//
// ReadTensor works in two passes. ScanTensor notes the type, the shape, and where the values are,
// without decoding them. Then the type decides. tensor_content and whole packed runs of fixed-size
// values are used where they lie, as a view of the message (ViewOrCopy). All other values are
// decoded by a sink for their type, which ignores surplus values but checks them. At the end the
// last value is repeated for missing ones. So memory is allocated only once, with its final size,
// and only after the shape has been checked.
//
// What protobuf refuses is refused here too, even in fields that are not used, so that clients see
// no difference from TensorFlow Serving.
#include "protocols/tfs/tensor_reader.h"

#include <algorithm>
#include <cstring>
#include <optional>
#include <type_traits>

#include "protocols/tfs/tensor_fields.h"
#include "protocols/tfs/tensor_scan.h"

namespace penstock::tfs {
namespace {

Status Malformed(std::string_view bytes, const WireError& error) {
  return InvalidArgument("{} at byte {} of the tensor", error.what, error.where - bytes.data());
}

// Looks at all bytes, whatever comes first, so that it takes many at a time.
bool AreBools(std::string_view bytes) {
  uint8_t bits = 0;
  for (const char byte : bytes) bits |= static_cast<uint8_t>(byte);
  return bits <= 1;
}

StatusOr<Tensor> ViewOrCopy(DType type, Shape shape, std::string_view elements,
                            const BufferRef& owner, RequestMemory& memory) {
  return Tensor::ViewOrCopy(
      type, std::move(shape),
      {reinterpret_cast<const std::byte*>(elements.data()), elements.size(), owner}, memory);
}

// Reads the tensor_content of a string tensor: all lengths, then all bytes.
StatusOr<Tensor> ReadStringContent(TensorScan scan, const BufferRef& owner, RequestMemory& memory) {
  const std::optional<int64_t> count = scan.shape.ElementCount();
  // Each string takes at least the byte of its length. This check comes before the allocation, or a
  // tiny message could claim an array of billions of strings.
  if (count && static_cast<uint64_t>(*count) > scan.content.size()) {
    return InvalidArgument("tensor_content of {} bytes cannot hold {} strings", scan.content.size(),
                           *count);
  }
  ASSIGN_OR_RETURN(Tensor tensor, Tensor::Allocate(DType::kString, std::move(scan.shape), memory));
  const std::span<StringElement> strings = tensor.mutable_as<StringElement>();
  WireError error;
  WireReader reader(scan.content, error);
  uint64_t sum = 0;
  for (StringElement& element : strings) {
    const char* start = reader.cursor();
    uint64_t length = 0;
    if (!reader.ReadVarint(length) || reader.cursor() - start > 5) {
      return InvalidArgument("a string's length in tensor_content is cut off or too long");
    }
    // With 32 bits each, the sum of all lengths cannot overflow.
    element.size = static_cast<uint32_t>(length);
    sum += element.size;
  }
  // This one comparison makes sure that no string below reaches beyond the message.
  if (sum != reader.bytes_left()) {
    return InvalidArgument("the strings in tensor_content have {} bytes, but their lengths say {}",
                           reader.bytes_left(), sum);
  }
  // The characters begin where the lengths end, so the positions are known only now.
  const char* at = reader.cursor();
  for (StringElement& element : strings) {
    element.data = at;
    at += element.size;
  }
  tensor.set_string_owner(owner);
  return tensor;
}

StatusOr<Tensor> ReadContent(DType type, TensorScan scan, const BufferRef& owner,
                             RequestMemory& memory) {
  if (type == DType::kString) return ReadStringContent(std::move(scan), owner, memory);
  const std::string_view content = scan.content;
  // The runtimes read these bytes as C++ bools, and any other value would be undefined behaviour.
  if (type == DType::kBool && !AreBools(content)) {
    return InvalidArgument("tensor_content of a bool tensor has bytes other than 0 and 1");
  }
  return ViewOrCopy(type, std::move(scan.shape), content, owner, memory);
}

// Stores the values of one typed field in the order of the message. Surplus values are only
// checked. One thread at a time.
template <typename T>
class VarintSink {
 public:
  explicit VarintSink(std::span<T> out) : out_(out) {}
  bool AddPacked(std::string_view bytes, WireError& error) {
    if constexpr (std::is_same_v<T, bool>) {
      // The usual form: each varint is the byte of a bool.
      if (bytes.size() <= out_.size() - count_ && AreBools(bytes)) {
        std::ranges::copy(bytes, reinterpret_cast<char*>(out_.data() + count_));
        count_ += bytes.size();
        return true;
      }
    }
    WireReader reader(bytes, error);
    while (!reader.AtEnd()) {
      if (!Add(reader)) return false;
    }
    return true;
  }
  bool Add(WireReader& reader) {
    uint64_t value = 0;
    if (!reader.ReadVarint(value)) return false;
    // Surplus values are read, because protobuf refuses the message if they are malformed.
    if (count_ < out_.size()) {
      if constexpr (std::is_same_v<T, bool>) {
        out_[count_++] = value != 0;
      } else {
        out_[count_++] = static_cast<T>(value);  // a value that is too wide wraps
      }
    }
    return true;
  }
  size_t count() const { return count_; }

 private:
  std::span<T> out_;
  size_t count_ = 0;
};

// Stores values of a fixed size. For complex numbers each value is half an element. One thread at a
// time.
template <typename T>
class FixedSink {
 public:
  explicit FixedSink(std::span<T> out) : out_(out) {}
  bool AddPacked(std::string_view bytes, WireError&) {
    // The scan has checked that this is a whole number of values.
    const size_t taken = std::min(bytes.size() / sizeof(T), out_.size() - count_);
    if (taken > 0) std::memcpy(out_.data() + count_, bytes.data(), taken * sizeof(T));
    count_ += taken;
    return true;
  }
  bool Add(WireReader& reader) {
    T value;
    if (!reader.ReadFixed(value)) return false;
    if (count_ < out_.size()) out_[count_++] = value;
    return true;
  }
  size_t count() const { return count_; }

 private:
  std::span<T> out_;
  size_t count_ = 0;
};

// Stores strings. One thread at a time.
class StringSink {
 public:
  explicit StringSink(std::span<StringElement> out) : out_(out) {}
  bool AddPacked(std::string_view bytes, WireError&) {
    if (count_ < out_.size()) out_[count_++] = {bytes.data(), bytes.size()};
    return true;
  }
  bool Add(WireReader&) { return true; }  // a string is always length-delimited
  size_t count() const { return count_; }

 private:
  std::span<StringElement> out_;
  size_t count_ = 0;
};

// Passes every value of `field` in the TensorProto `bytes` to `sink`.
template <typename Sink>
bool CollectValues(std::string_view bytes, const TensorScan& scan, uint32_t field,
                   WireType value_type, Sink& sink, WireError& error) {
  // The usual message has all values in one packed run, and the scan has found it already.
  if (scan.value_pieces == 1 && scan.packed_field == field) {
    return sink.AddPacked(scan.packed, error);
  }
  WireReader reader(bytes, error);
  while (!reader.AtEnd()) {
    uint32_t tag = 0;
    if (!reader.ReadTag(tag)) return false;
    bool ok = true;
    if (tag == MakeTag(field, WireType::kLength)) {
      std::string_view packed;
      ok = reader.ReadBytes(packed) && sink.AddPacked(packed, error);
    } else if (tag == MakeTag(field, value_type)) {
      ok = sink.Add(reader);
    } else {
      ok = reader.SkipField(tag, kNestingMax);
    }
    if (!ok) return false;
  }
  return true;
}

// Fills the rest of the tensor with the last of `count` elements, or with zeros if there is none.
template <typename T>
void FillRest(std::span<T> elements, size_t count) {
  if (count >= elements.size()) return;
  if (count == 0) {
    std::memset(static_cast<void*>(elements.data()), 0, elements.size_bytes());
  } else {
    // This is TensorFlow's compact form: a constant tensor carries its value once.
    std::fill(elements.begin() + count, elements.end(), T(elements[count - 1]));
  }
}

// The typed values of one TensorProto during decoding. One thread at a time.
struct ValueSource {
  std::string_view bytes;
  const TensorScan& scan;
  uint32_t field;
  WireError& error;
};

template <typename T>
bool DecodeVarints(const ValueSource& source, Tensor& tensor) {
  VarintSink<T> sink(tensor.mutable_as<T>());
  if (!CollectValues(source.bytes, source.scan, source.field, WireType::kVarint, sink,
                     source.error)) {
    return false;
  }
  FillRest(tensor.mutable_as<T>(), sink.count());
  return true;
}

// Each element consists of `kParts` values of type T.
template <typename T, size_t kParts>
bool DecodeFixed(const ValueSource& source, Tensor& tensor) {
  struct Element {
    T parts[kParts];
  };
  const std::span<Element> elements = tensor.mutable_as<Element>();
  FixedSink<T> sink({reinterpret_cast<T*>(tensor.mutable_data()), elements.size() * kParts});
  const WireType type = sizeof(T) == 4 ? WireType::kFixed32 : WireType::kFixed64;
  if (!CollectValues(source.bytes, source.scan, source.field, type, sink, source.error)) {
    return false;
  }
  FillRest(elements, sink.count() / kParts);
  return true;
}

bool DecodeStrings(const ValueSource& source, Tensor& tensor) {
  StringSink sink(tensor.mutable_as<StringElement>());
  if (!CollectValues(source.bytes, source.scan, source.field, WireType::kLength, sink,
                     source.error)) {
    return false;
  }
  FillRest(tensor.mutable_as<StringElement>(), sink.count());
  return true;
}

bool DecodeValues(DType type, const ValueSource& source, Tensor& tensor) {
  switch (type) {
    case DType::kFloat32:
      return DecodeFixed<uint32_t, 1>(source, tensor);
    case DType::kFloat64:
      return DecodeFixed<uint64_t, 1>(source, tensor);
    case DType::kComplex64:
      return DecodeFixed<uint32_t, 2>(source, tensor);
    case DType::kComplex128:
      return DecodeFixed<uint64_t, 2>(source, tensor);
    case DType::kString:
      return DecodeStrings(source, tensor);
    case DType::kBool:
      return DecodeVarints<bool>(source, tensor);
    default:
      break;
  }
  // The signed and the unsigned type of one size share a decoder, because both keep the low bits of
  // the varint.
  switch (DTypeBytes(type)) {
    case 1:
      return DecodeVarints<uint8_t>(source, tensor);
    case 2:
      return DecodeVarints<uint16_t>(source, tensor);
    case 4:
      return DecodeVarints<uint32_t>(source, tensor);
    default:
      return DecodeVarints<uint64_t>(source, tensor);
  }
}

// True if the only values are one packed run whose bytes are exactly the tensor's elements.
bool IsWholePackedRun(DType type, const TensorScan& scan, uint32_t field) {
  const ValueKind kind = ValueKindOf(field);
  if (scan.value_pieces != 1 || scan.packed_field != field) return false;
  if (kind != ValueKind::kFixed32 && kind != ValueKind::kFixed64) return false;
  const std::optional<int64_t> count = scan.shape.ElementCount();
  // A run that is too short or too long needs the rules for missing and for surplus values.
  return count && *count > 0 && scan.packed.size() % DTypeBytes(type) == 0 &&
         static_cast<uint64_t>(*count) == scan.packed.size() / DTypeBytes(type);
}

StatusOr<Tensor> ReadValues(DType type, std::string_view bytes, TensorScan scan,
                            const BufferRef& owner, RequestMemory& memory) {
  const uint32_t field = ValueFieldOf(type);
  if (IsWholePackedRun(type, scan, field)) {
    return ViewOrCopy(type, std::move(scan.shape), scan.packed, owner, memory);
  }
  ASSIGN_OR_RETURN(Tensor tensor, Tensor::Allocate(type, std::move(scan.shape), memory));
  WireError error;
  if (!DecodeValues(type, {bytes, scan, field, error}, tensor)) return Malformed(bytes, error);
  if (type == DType::kString) tensor.set_string_owner(owner);
  return tensor;
}

}  // namespace

StatusOr<Tensor> ReadTensor(std::string_view bytes, const BufferRef& owner, RequestMemory& memory,
                            int nesting_left) {
  TensorScan scan;
  WireError error;
  WireReader reader(bytes, error);
  if (!ScanTensor(reader, nesting_left, scan)) return Malformed(bytes, error);

  const std::optional<DType> type = DTypeFromTensorFlow(scan.dtype);
  // TensorFlow ignores typed values beside tensor_content. With field 0 none is decoded, so the
  // check below covers all of them.
  const uint32_t field = type && scan.content.empty() ? ValueFieldOf(*type) : 0;
  if ((scan.value_fields & ~(1u << field)) != 0 && !CheckVarints(bytes, 1u << field, error)) {
    return Malformed(bytes, error);
  }
  if (scan.dtype == 0)
    return InvalidArgument("it has no dtype: say the type of its values, as DT_FLOAT");
  if (!type) return InvalidArgument("its type, number {}, is not supported", scan.dtype);
  if (scan.unknown_rank) return InvalidArgument("its shape has an unknown rank");
  return scan.content.empty() ? ReadValues(*type, bytes, std::move(scan), owner, memory)
                              : ReadContent(*type, std::move(scan), owner, memory);
}

}  // namespace penstock::tfs
