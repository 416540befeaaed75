// SPDX-License-Identifier: Apache-2.0
#include "tensor/dtype.h"

#include <array>

namespace penstock {
namespace {

struct TypeRow {
  bool known = false;
  std::string_view name = "invalid";
  std::string_view tensorflow_name = "DT_INVALID";
};

// The index is TensorFlow's number of the type. Numbers without a row are types that are not
// served.
constexpr size_t kRows = 24;

constexpr std::array<TypeRow, kRows> MakeRows() {
  std::array<TypeRow, kRows> rows{};
  const auto set = [&rows](DType type, std::string_view name, std::string_view tensorflow_name) {
    rows[static_cast<size_t>(type)] = {true, name, tensorflow_name};
  };
  set(DType::kFloat32, "float32", "DT_FLOAT");
  set(DType::kFloat64, "float64", "DT_DOUBLE");
  set(DType::kInt32, "int32", "DT_INT32");
  set(DType::kUint8, "uint8", "DT_UINT8");
  set(DType::kInt16, "int16", "DT_INT16");
  set(DType::kInt8, "int8", "DT_INT8");
  set(DType::kString, "string", "DT_STRING");
  set(DType::kComplex64, "complex64", "DT_COMPLEX64");
  set(DType::kInt64, "int64", "DT_INT64");
  set(DType::kBool, "bool", "DT_BOOL");
  set(DType::kQint8, "qint8", "DT_QINT8");
  set(DType::kQuint8, "quint8", "DT_QUINT8");
  set(DType::kQint32, "qint32", "DT_QINT32");
  set(DType::kBfloat16, "bfloat16", "DT_BFLOAT16");
  set(DType::kQint16, "qint16", "DT_QINT16");
  set(DType::kQuint16, "quint16", "DT_QUINT16");
  set(DType::kUint16, "uint16", "DT_UINT16");
  set(DType::kComplex128, "complex128", "DT_COMPLEX128");
  set(DType::kFloat16, "float16", "DT_HALF");
  set(DType::kUint32, "uint32", "DT_UINT32");
  set(DType::kUint64, "uint64", "DT_UINT64");
  return rows;
}

constexpr std::array<TypeRow, kRows> kTypes = MakeRows();

const TypeRow& Row(DType type) {
  const size_t index = static_cast<size_t>(type);
  // Row 0 is "invalid". A backend may send any number.
  return kTypes[index < kRows ? index : 0];
}

}  // namespace

std::string_view DTypeName(DType type) { return Row(type).name; }
std::string_view TensorFlowTypeName(DType type) { return Row(type).tensorflow_name; }

std::optional<DType> DTypeFromTensorFlow(int number) {
  if (number <= 0 || number >= static_cast<int>(kRows) ||
      !kTypes[static_cast<size_t>(number)].known) {
    return std::nullopt;
  }
  return static_cast<DType>(number);
}

}  // namespace penstock
