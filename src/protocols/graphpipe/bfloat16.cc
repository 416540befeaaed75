// SPDX-License-Identifier: Apache-2.0
#include "protocols/graphpipe/bfloat16.h"

#include <cstring>

#include "tensor/half.h"

namespace penstock::graphpipe {
namespace {

uint16_t Rounded(uint32_t bits) {
  const bool is_nan = (bits & 0x7FFFFFFF) > 0x7F800000;
  // The rounding below could make an infinity of it.
  if (is_nan) return static_cast<uint16_t>(bits >> 16 | 0x40);
  return static_cast<uint16_t>((bits + 0x7FFF + (bits >> 16 & 1)) >> 16);
}

}  // namespace

StatusOr<Tensor> FloatsOfBfloat16(const Tensor& tensor, RequestMemory& memory) {
  ASSIGN_OR_RETURN(Tensor floats, Tensor::Allocate(DType::kFloat32, tensor.shape(), memory));
  const std::span<const uint16_t> from = tensor.as<uint16_t>();
  const std::span<float> to = floats.mutable_as<float>();
  for (size_t i = 0; i < to.size(); ++i) to[i] = Bfloat16ToFloat(from[i]);
  return floats;
}

StatusOr<Tensor> Bfloat16OfFloats(const Shape& shape, const Slice& bytes, RequestMemory& memory) {
  ASSIGN_OR_RETURN(Tensor tensor, Tensor::Allocate(DType::kBfloat16, shape, memory));
  const std::span<uint16_t> to = tensor.mutable_as<uint16_t>();
  if (bytes.size != to.size() * sizeof(float))
    return InvalidArgument("{} bytes are not {} numbers", bytes.size, to.size());
  for (size_t i = 0; i < to.size(); ++i) {
    uint32_t bits;
    std::memcpy(&bits, bytes.data + i * sizeof(bits), sizeof(bits));
    to[i] = Rounded(bits);
  }
  return tensor;
}

}  // namespace penstock::graphpipe
