// SPDX-License-Identifier: Apache-2.0
#include "batch/pad_value.h"

#include <charconv>
#include <cmath>
#include <cstdint>
#include <limits>
#include <system_error>

#include "tensor/half.h"

namespace penstock::batch {
namespace {

template <typename T>
std::string BytesOf(T value) {
  return {reinterpret_cast<const char*>(&value), sizeof(T)};
}

// The whole numbers of a type of up to 53 bits, or those of 64 bits that a double can have.
template <typename T>
StatusOr<std::string> Whole(DType type, double value) {
  const double least = static_cast<double>(std::numeric_limits<T>::min());
  // 2^63 and 2^64 are exact, and just above the largest value.
  const double end = std::ldexp(1.0, std::numeric_limits<T>::digits);
  if (std::trunc(value) != value || value < least || value >= end)
    return InvalidArgument("{} is no {}", value, DTypeName(type));
  return BytesOf(static_cast<T>(value));
}

// There are few values, and this runs once for each input at a load: so it tries all of them.
uint16_t NearestHalf(double value, float (*to_float)(uint16_t)) {
  uint16_t best = 0;
  double least = std::numeric_limits<double>::infinity();
  for (uint32_t bits = 0; bits <= UINT16_MAX; ++bits) {
    const double each = to_float(static_cast<uint16_t>(bits));
    const double distance = each == value ? 0 : std::abs(each - value);
    if (!(distance < least)) continue;
    least = distance;
    best = static_cast<uint16_t>(bits);
  }
  return best;
}

}  // namespace

StatusOr<std::string> EncodeNumber(DType type, double value) {
  switch (type) {
    case DType::kFloat32:
      return BytesOf(static_cast<float>(value));
    case DType::kFloat64:
      return BytesOf(value);
    case DType::kFloat16:
      return BytesOf(NearestHalf(value, Float16ToFloat));
    case DType::kBfloat16:
      return BytesOf(NearestHalf(value, Bfloat16ToFloat));
    case DType::kInt8:
      return Whole<int8_t>(type, value);
    case DType::kUint8:
      return Whole<uint8_t>(type, value);
    case DType::kInt16:
      return Whole<int16_t>(type, value);
    case DType::kUint16:
      return Whole<uint16_t>(type, value);
    case DType::kInt32:
      return Whole<int32_t>(type, value);
    case DType::kUint32:
      return Whole<uint32_t>(type, value);
    case DType::kInt64:
      return Whole<int64_t>(type, value);
    case DType::kUint64:
      return Whole<uint64_t>(type, value);
    case DType::kBool:
      if (value != 0 && value != 1) return InvalidArgument("{} is no {}", value, DTypeName(type));
      return BytesOf(static_cast<uint8_t>(value));
    default:
      break;
  }
  if (value == 0 && DTypeBytes(type) > 0) return std::string(DTypeBytes(type), '\0');
  return InvalidArgument("{} is no {}", value, DTypeName(type));
}

StatusOr<std::string> EncodeValue(DType type, std::string_view text) {
  if (type == DType::kString) return std::string(text);
  double value = 0;
  if (!text.empty()) {
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc() || end != text.data() + text.size())
      return InvalidArgument("'{}' is no number", text);
  }
  return EncodeNumber(type, value);
}

}  // namespace penstock::batch
