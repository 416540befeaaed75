// SPDX-License-Identifier: Apache-2.0
// Element types of tensors, for every protocol and backend. The numbers are those of TensorFlow's
// DataType, so the hot path needs no conversion table. include/penstock/backend.h uses the same
// numbers.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

namespace penstock {

// Values between the listed ones are types that Penstock does not support. Their elements are in
// the machine's form: IEEE 754, two's complement, little-endian.
enum class DType : uint8_t {
  kInvalid = 0,
  kFloat32 = 1,
  kFloat64 = 2,
  kInt32 = 3,
  kUint8 = 4,
  kInt16 = 5,
  kInt8 = 6,
  kString = 7,  // bytes of any content and length
  kComplex64 = 8,
  kInt64 = 9,
  kBool = 10,  // one byte, 0 or 1
  kQint8 = 11,
  kQuint8 = 12,
  kQint32 = 13,
  kBfloat16 = 14,
  kQint16 = 15,
  kQuint16 = 16,
  kUint16 = 17,
  kComplex128 = 18,
  kFloat16 = 19,
  kUint32 = 22,
  kUint64 = 23,
};

// Bytes of one element; 0 for kString (variable) and kInvalid. A complex number has two parts, and
// counts as one element.
constexpr size_t DTypeBytes(DType type) {
  switch (type) {
    case DType::kUint8:
    case DType::kInt8:
    case DType::kBool:
    case DType::kQint8:
    case DType::kQuint8:
      return 1;
    case DType::kInt16:
    case DType::kBfloat16:
    case DType::kQint16:
    case DType::kQuint16:
    case DType::kUint16:
    case DType::kFloat16:
      return 2;
    case DType::kFloat32:
    case DType::kInt32:
    case DType::kQint32:
    case DType::kUint32:
      return 4;
    case DType::kFloat64:
    case DType::kComplex64:
    case DType::kInt64:
    case DType::kUint64:
      return 8;
    case DType::kComplex128:
      return 16;
    case DType::kString:
    case DType::kInvalid:
      break;
  }
  return 0;
}

// The type's lower-case name, as "float32", "string"; "invalid" for anything else.
std::string_view DTypeName(DType type);

// TensorFlow's name, as "DT_FLOAT".
std::string_view TensorFlowTypeName(DType type);

// Returns the type with TensorFlow's number `number`; none if Penstock does not support it.
std::optional<DType> DTypeFromTensorFlow(int number);

}  // namespace penstock
