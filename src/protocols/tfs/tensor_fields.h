// SPDX-License-Identifier: Apache-2.0
// The fields of a TensorProto that hold the elements, by type.
#pragma once

#include <cstdint>

#include "tensor/dtype.h"

namespace penstock::tfs {

// The layout of a field's values on the wire. Fixed sizes are little-endian, so a packed run of
// them is the memory of a tensor, and can be viewed. Varints must be decoded one by one.
enum class ValueKind : uint8_t { kNone, kFixed32, kFixed64, kVarint, kBytes };

// The numbers of TensorProto's fields that are not typed values
// (tensorflow/core/framework/tensor.proto). Version is never written, and ignored when it comes.
inline constexpr uint32_t kDtypeField = 1;
inline constexpr uint32_t kShapeField = 2;
inline constexpr uint32_t kVersionField = 3;
inline constexpr uint32_t kContentField = 4;

// The field with the typed values of `type`; 0 if the type is not supported. The numbers are those
// of tensor.proto. All integers of up to 32 bits but uint32 share int_val, so the type, and not the
// field, tells how to narrow a value.
constexpr uint32_t ValueFieldOf(DType type) {
  switch (type) {
    case DType::kFloat32:
      return 5;
    case DType::kFloat64:
      return 6;
    case DType::kInt32:
    case DType::kUint8:
    case DType::kInt16:
    case DType::kInt8:
    case DType::kQint8:
    case DType::kQuint8:
    case DType::kQint32:
    case DType::kQint16:
    case DType::kQuint16:
    case DType::kUint16:
      return 7;
    case DType::kString:
      return 8;
    case DType::kComplex64:
      return 9;
    case DType::kInt64:
      return 10;
    case DType::kBool:
      return 11;
    case DType::kComplex128:
      return 12;
    case DType::kBfloat16:
    case DType::kFloat16:
      return 13;
    case DType::kUint32:
      return 16;
    case DType::kUint64:
      return 17;
    default:
      return 0;
  }
}

// The layout of a TensorProto's field of typed values; kNone for other fields. A complex number
// takes two values of fields 9 and 12.
constexpr ValueKind ValueKindOf(uint32_t field) {
  switch (field) {
    case 5:
    case 9:
      return ValueKind::kFixed32;
    case 6:
    case 12:
      return ValueKind::kFixed64;
    case 7:
    case 10:
    case 11:
    case 13:
    case 16:
    case 17:
      return ValueKind::kVarint;
    case 8:
      return ValueKind::kBytes;
    default:
      return ValueKind::kNone;
  }
}

}  // namespace penstock::tfs
