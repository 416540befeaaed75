// SPDX-License-Identifier: Apache-2.0
// PlanTensor computes sizes and WriteTensor writes the bytes. The two must agree to the byte,
// because the buffer has exactly the planned size. So both go through the same helpers (IsRaw,
// IsGathered, VisitVarints), which decide the form of each part.
#include "protocols/tfs/tensor_writer.h"

#include <algorithm>
#include <array>

#include "protocols/tfs/tensor_fields.h"

namespace penstock::tfs {
namespace {

// Protobuf leaves out a field that has its default value, so a size of 0 takes no bytes.
uint64_t DimBytes(int64_t size) {
  return size == 0 ? 0 : 1 + VarintBytes(static_cast<uint64_t>(size));
}

uint64_t ShapeBytes(const Shape& shape) {
  uint64_t bytes = 0;
  for (const int64_t size : shape.dims()) bytes += LengthFieldBytes(2, DimBytes(size));
  return bytes;
}

void WriteShape(const Shape& shape, uint64_t shape_bytes, WireWriter& out) {
  out.LengthHeader(kShapeField, shape_bytes);
  for (const int64_t size : shape.dims()) {
    out.LengthHeader(2, DimBytes(size));
    if (size != 0) out.VarintField(1, static_cast<uint64_t>(size));
  }
}

// Calls `visit` with each element as its varint value: signed types are sign-extended.
template <typename T, typename Visitor>
void VisitAs(const Tensor& tensor, Visitor& visit) {
  for (const T element : tensor.as<T>()) {
    visit(static_cast<uint64_t>(static_cast<int64_t>(element)));
  }
}

template <typename Visitor>
void VisitVarints(const Tensor& tensor, Visitor visit) {
  switch (tensor.dtype()) {
    case DType::kInt32:
    case DType::kQint32:
      return VisitAs<int32_t>(tensor, visit);
    case DType::kInt16:
    case DType::kQint16:
      return VisitAs<int16_t>(tensor, visit);
    case DType::kInt8:
    case DType::kQint8:
      return VisitAs<int8_t>(tensor, visit);
    case DType::kUint8:
    case DType::kQuint8:
      return VisitAs<uint8_t>(tensor, visit);
    case DType::kUint32:
      return VisitAs<uint32_t>(tensor, visit);
    // The way through int64_t keeps all bits of a uint64_t.
    case DType::kInt64:
    case DType::kUint64:
      return VisitAs<int64_t>(tensor, visit);
    default:  // uint16, quint16, and the bits of float16 and bfloat16
      return VisitAs<uint16_t>(tensor, visit);
  }
}

bool IsRaw(const Tensor& tensor, const TensorWriteOptions& options) {
  if (tensor.dtype() == DType::kString) return false;
  const ValueKind kind = ValueKindOf(ValueFieldOf(tensor.dtype()));
  return options.as_tensor_content || kind == ValueKind::kFixed32 || kind == ValueKind::kFixed64;
}

// True for strings that are long enough to be sent without a copy.
bool IsGathered(size_t bytes, const TensorWriteOptions& options) {
  return bytes >= options.gather_bytes_min;
}

// Each is a varint of one byte.
void WriteBools(const Tensor& tensor, ChainWriter& out) {
  std::span<const uint8_t> left = tensor.as<uint8_t>();
  std::array<uint8_t, 256> bytes;
  while (!left.empty()) {
    const size_t count = std::min(left.size(), bytes.size());
    for (size_t i = 0; i < count; ++i) bytes[i] = left[i] != 0 ? 1 : 0;
    out.wire().Bytes(bytes.data(), count);
    left = left.subspan(count);
  }
}

void PlanStrings(const Tensor& tensor, const TensorWriteOptions& options, TensorPlan& plan) {
  for (const StringElement& element : tensor.strings()) {
    plan.payload_bytes += options.as_tensor_content ? VarintBytes(element.size) + element.size
                                                    : LengthFieldBytes(plan.field, element.size);
    if (IsGathered(element.size, options)) plan.gathered_bytes += element.size;
  }
}

void WriteBytes(const Slice& bytes, const TensorWriteOptions& options, ChainWriter& out) {
  if (IsGathered(bytes.size, options)) {
    out.Gather(bytes);
  } else {
    out.wire().Bytes(bytes.data, bytes.size);
  }
}

void WriteStrings(const Tensor& tensor, const TensorPlan& plan, const TensorWriteOptions& options,
                  ChainWriter& out) {
  // Without an owner of their own, the strings lie in the buffer of the elements.
  const BufferRef& owner = tensor.string_owner() ? tensor.string_owner() : tensor.elements().owner;
  if (options.as_tensor_content) {
    for (const StringElement& element : tensor.strings()) out.wire().Varint(element.size);
  }
  for (const StringElement& element : tensor.strings()) {
    if (!options.as_tensor_content) out.wire().LengthHeader(plan.field, element.size);
    WriteBytes({reinterpret_cast<const std::byte*>(element.data), element.size, owner}, options,
               out);
  }
}

}  // namespace

StatusOr<TensorPlan> PlanTensor(const Tensor& tensor, const TensorWriteOptions& options) {
  const uint32_t value_field = ValueFieldOf(tensor.dtype());
  if (value_field == 0) {
    return Error(StatusCode::kInternal, "a tensor of type {} cannot be sent",
                 DTypeName(tensor.dtype()));
  }
  TensorPlan plan;
  plan.field = options.as_tensor_content ? kContentField : value_field;
  plan.shape_bytes = ShapeBytes(tensor.shape());
  if (tensor.dtype() == DType::kString) {
    PlanStrings(tensor, options, plan);
  } else if (IsRaw(tensor, options)) {
    plan.payload_bytes = tensor.bytes();
    if (IsGathered(tensor.bytes(), options)) plan.gathered_bytes = tensor.bytes();
  } else if (tensor.dtype() == DType::kBool) {
    plan.payload_bytes = tensor.bytes();
  } else {
    VisitVarints(tensor, [&](uint64_t value) { plan.payload_bytes += VarintBytes(value); });
  }
  // 2 bytes for the dtype: its tag, and its number, which is below 128.
  plan.message_bytes = 2 + LengthFieldBytes(kShapeField, plan.shape_bytes);
  if (plan.payload_bytes > 0) {
    // Each typed string is a field of its own, and PlanStrings has counted those headers.
    const bool has_own_headers = plan.field == ValueFieldOf(DType::kString);
    plan.message_bytes +=
        has_own_headers ? plan.payload_bytes : LengthFieldBytes(plan.field, plan.payload_bytes);
  }
  return plan;
}

void WriteTensor(const Tensor& tensor, const TensorPlan& plan, const TensorWriteOptions& options,
                 ChainWriter& out) {
  out.wire().VarintField(kDtypeField, static_cast<uint64_t>(tensor.dtype()));
  WriteShape(tensor.shape(), plan.shape_bytes, out.wire());
  if (plan.payload_bytes == 0) return;
  if (plan.field != ValueFieldOf(DType::kString)) {
    out.wire().LengthHeader(plan.field, plan.payload_bytes);
  }
  if (tensor.dtype() == DType::kString) {
    WriteStrings(tensor, plan, options, out);
  } else if (IsRaw(tensor, options)) {
    WriteBytes(tensor.elements(), options, out);
  } else if (tensor.dtype() == DType::kBool) {
    WriteBools(tensor, out);
  } else {
    VisitVarints(tensor, [&](uint64_t value) { out.wire().Varint(value); });
  }
}

}  // namespace penstock::tfs
