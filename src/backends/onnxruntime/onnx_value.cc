// SPDX-License-Identifier: Apache-2.0
#include "onnx_value.h"

#include <cstring>
#include <utility>

#include "onnx_file.h"
#include "ort_api.h"

namespace penstock::onnxruntime {
namespace {

constexpr uint64_t kBytesMax = 64 * 1024;  // as much as Fields::Text returns

// Appends the lowest `width` bytes of a number.
void AppendElement(uint64_t number, size_t width, std::string& bytes) {
  char element[sizeof(number)];
  std::memcpy(element, &number, sizeof(number));
  bytes.append(element, width);
}

// Appends the elements of a field of varints, packed or not.
void AppendVarints(Fields& field, size_t width, std::string& bytes) {
  if (!field.HasLength()) return AppendElement(field.value(), width, bytes);
  uint64_t number = 0;
  for (Fields packed = field.Inside(); bytes.size() <= kBytesMax && packed.NextPacked(number);) {
    AppendElement(number, width, bytes);
  }
}

// The number of elements, if it is at most kBytesMax.
std::optional<uint64_t> CountOf(const std::vector<int64_t>& shape) {
  uint64_t count = 1;
  for (const int64_t size : shape) {
    if (size < 0 || size > static_cast<int64_t>(kBytesMax)) return std::nullopt;
    count *= static_cast<uint64_t>(size);
    if (count > kBytesMax) return std::nullopt;
  }
  return count;
}

}  // namespace

std::optional<plugin::Value> ReadSmallTensor(Fields tensor) {
  plugin::Value value;
  for (Fields field = tensor; field.Next();) {
    const uint32_t number = field.number();
    if (number == kTensorDims) ReadDims(field, value.shape);
    if (number == kTensorType && !field.HasLength()) {
      value.dtype = FromOrtType(static_cast<int>(field.value()));
    }
  }
  const std::optional<uint64_t> count = CountOf(value.shape);
  const size_t width = ElementBytes(value.dtype);
  if (!count || value.dtype == 0 || *count * width > kBytesMax) return std::nullopt;
  uint64_t text_bytes = 0;
  while (tensor.Next()) {
    switch (tensor.number()) {
      case kTensorInt32s:
      case kTensorInt64s:
      case kTensorUint64s:
        AppendVarints(tensor, width, value.bytes);
        break;
      case kTensorFloats:
      case kTensorDoubles:
      case kTensorRaw:
        if (tensor.HasLength()) value.bytes += tensor.Text();
        break;
      case kTensorStrings:
        text_bytes += tensor.size();
        if (text_bytes <= kBytesMax) value.strings.push_back(tensor.Text());
        break;
      default:
        break;
    }
    if (value.bytes.size() > kBytesMax || text_bytes > kBytesMax) return std::nullopt;
  }
  const bool is_text = value.dtype == PENSTOCK_STRING;
  const bool is_whole =
      is_text ? value.strings.size() == *count : value.bytes.size() == *count * width;
  if (!is_whole) return std::nullopt;
  return value;
}

}  // namespace penstock::onnxruntime
