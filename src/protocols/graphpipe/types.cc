// SPDX-License-Identifier: Apache-2.0
#include "protocols/graphpipe/types.h"

namespace penstock::graphpipe {

DType DTypeOf(uint8_t number) {
  switch (static_cast<Type>(number)) {
    case Type::kUint8:
      return DType::kUint8;
    case Type::kInt8:
      return DType::kInt8;
    case Type::kUint16:
      return DType::kUint16;
    case Type::kInt16:
      return DType::kInt16;
    case Type::kUint32:
      return DType::kUint32;
    case Type::kInt32:
      return DType::kInt32;
    case Type::kUint64:
      return DType::kUint64;
    case Type::kInt64:
      return DType::kInt64;
    case Type::kFloat16:
      return DType::kFloat16;
    case Type::kFloat32:
      return DType::kFloat32;
    case Type::kFloat64:
      return DType::kFloat64;
    case Type::kString:
      return DType::kString;
    case Type::kNull:
      break;
  }
  return DType::kInvalid;
}

Type TypeFor(DType dtype) {
  switch (dtype) {
    case DType::kBool:
    case DType::kUint8:
    case DType::kQuint8:
      return Type::kUint8;
    case DType::kInt8:
    case DType::kQint8:
      return Type::kInt8;
    case DType::kUint16:
    case DType::kQuint16:
      return Type::kUint16;
    case DType::kInt16:
    case DType::kQint16:
      return Type::kInt16;
    case DType::kUint32:
      return Type::kUint32;
    case DType::kInt32:
    case DType::kQint32:
      return Type::kInt32;
    case DType::kUint64:
      return Type::kUint64;
    case DType::kInt64:
      return Type::kInt64;
    case DType::kFloat16:
      return Type::kFloat16;
    case DType::kFloat32:
    case DType::kBfloat16:
      return Type::kFloat32;
    case DType::kFloat64:
      return Type::kFloat64;
    case DType::kString:
      return Type::kString;
    case DType::kComplex64:
    case DType::kComplex128:
    case DType::kInvalid:
      break;
  }
  return Type::kNull;
}

}  // namespace penstock::graphpipe
