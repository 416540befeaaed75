// SPDX-License-Identifier: Apache-2.0
// The element types of GraphPipe, and how they stand for those of a model.
#pragma once

#include <cstdint>
#include <string_view>

#include "tensor/dtype.h"

namespace penstock::graphpipe {

// The numbers on the wire.
enum class Type : uint8_t {
  kNull = 0,
  kUint8 = 1,
  kInt8 = 2,
  kUint16 = 3,
  kInt16 = 4,
  kUint32 = 5,
  kInt32 = 6,
  kUint64 = 7,
  kInt64 = 8,
  kFloat16 = 9,
  kFloat32 = 10,
  kFloat64 = 11,
  kString = 12,
};

// The type of a tensor that a client sends. kInvalid for kNull and for unknown numbers.
DType DTypeOf(uint8_t number);

// The type in which clients see tensors of `dtype`. GraphPipe has no bool, no bfloat16 and no
// quantized types, so these get the next type that holds each of their values: uint8, float32, and
// the integer of the same size. kNull: it has none (complex numbers).
Type TypeFor(DType dtype);

}  // namespace penstock::graphpipe
