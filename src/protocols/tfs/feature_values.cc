// SPDX-License-Identifier: Apache-2.0
#include "protocols/tfs/feature_values.h"

namespace penstock::tfs {

std::string_view FeatureKindName(FeatureKind kind) {
  switch (kind) {
    case FeatureKind::kBytes:
      return "bytes";
    case FeatureKind::kFloat:
      return "float";
    case FeatureKind::kInt64:
      return "int64";
    case FeatureKind::kNone:
      break;
  }
  return "no type";
}

bool IsAccepted(FeatureKind kind, DType type) {
  const bool is_float = type == DType::kFloat32 || type == DType::kFloat64;
  switch (kind) {
    case FeatureKind::kBytes:
      return type == DType::kString;
    case FeatureKind::kFloat:
      return is_float;
    // Clients that write a whole number where a float is meant are common: JSON has one number
    // type.
    case FeatureKind::kInt64:
      return type != DType::kString;
    case FeatureKind::kNone:
      break;
  }
  return false;
}

void ValueWriter::Floats(std::string_view packed) {
  const auto count = static_cast<int64_t>(packed.size() / sizeof(float));
  // All or none: if they do not fit, the count alone is enough for the error.
  if (count <= room_ - count_) {
    if (type_ == DType::kFloat32) {
      std::memcpy(to_ + static_cast<size_t>(count_) * sizeof(float), packed.data(), packed.size());
      count_ += count;
      return;
    }
    for (size_t at = 0; at < packed.size(); at += sizeof(float)) {
      float value;
      std::memcpy(&value, packed.data() + at, sizeof value);
      Store(static_cast<double>(value));
      ++count_;
    }
    return;
  }
  count_ += count;
}

void ValueWriter::StoreConverted(int64_t value) {
  switch (type_) {
    case DType::kFloat32:
      return Store(static_cast<float>(value));
    case DType::kFloat64:
      return Store(static_cast<double>(value));
    case DType::kInt8:
      return StoreInteger<int8_t>(value);
    case DType::kInt16:
      return StoreInteger<int16_t>(value);
    case DType::kInt32:
      return StoreInteger<int32_t>(value);
    case DType::kUint8:
      return StoreInteger<uint8_t>(value);
    case DType::kUint16:
      return StoreInteger<uint16_t>(value);
    case DType::kUint32:
      return StoreInteger<uint32_t>(value);
    case DType::kUint64:
      return StoreInteger<uint64_t>(value);
    case DType::kBool:
      return StoreInteger<bool>(value);
    default:
      return;
  }
}

}  // namespace penstock::tfs
