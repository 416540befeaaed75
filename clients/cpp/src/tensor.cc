// SPDX-License-Identifier: Apache-2.0
#include "penstock_client/tensor.h"

#include <stdexcept>

#include "element_count.h"

namespace penstock_client {
namespace {

[[noreturn]] void ThrowWrongShape(const Shape& shape, size_t found, std::string_view what) {
  throw std::invalid_argument("an input of shape " + TextOf(shape) + " cannot have " +
                              std::to_string(found) + " " + std::string(what));
}

}  // namespace

std::string_view NameOf(DType dtype) {
  static constexpr std::string_view kNames[] = {"uint8",   "int8",    "uint16",  "int16",
                                                "uint32",  "int32",   "uint64",  "int64",
                                                "float16", "float32", "float64", "string"};
  const auto index = static_cast<size_t>(dtype) - 1;
  return index < std::size(kNames) ? kNames[index] : "unknown";
}

size_t BytesOf(DType dtype) {
  static constexpr uint8_t kBytes[] = {1, 1, 2, 2, 4, 4, 8, 8, 2, 4, 8, 0};
  const auto index = static_cast<size_t>(dtype) - 1;
  return index < std::size(kBytes) ? kBytes[index] : 0;
}

std::string TextOf(const Shape& shape) {
  std::string text = "[";
  for (size_t i = 0; i < shape.size(); ++i) text += (i == 0 ? "" : ",") + std::to_string(shape[i]);
  return text + "]";
}

std::optional<uint64_t> ElementsOf(const Shape& shape) {
  uint64_t count = 1;
  bool has_zero = false;
  bool is_too_large = false;
  for (const int64_t size : shape) {
    if (size < 0) return std::nullopt;
    if (size == 0) has_zero = true;
    if (__builtin_mul_overflow(count, static_cast<uint64_t>(size), &count)) is_too_large = true;
  }
  if (has_zero) return 0;
  return is_too_large ? std::nullopt : std::optional(count);
}

Input::Input(DType dtype, std::span<const std::byte> bytes, Shape shape)
    : dtype_(dtype), shape_(std::move(shape)), bytes_(bytes) {
  const size_t width = BytesOf(dtype);
  if (width == 0) throw std::invalid_argument("strings are given as a range of strings");
  const std::optional<uint64_t> count = ElementsOf(shape_);
  if (!count || bytes.size() % width != 0 || *count != bytes.size() / width)
    ThrowWrongShape(shape_, bytes.size(), "bytes of " + std::string(NameOf(dtype)));
}

Input::Input(std::vector<std::string_view> strings, std::optional<Shape> shape)
    : dtype_(DType::kString), strings_(std::move(strings)) {
  shape_ = shape ? *std::move(shape) : ShapeOfList(strings_.size());
  if (ElementsOf(shape_) != strings_.size()) ThrowWrongShape(shape_, strings_.size(), "strings");
}

void Output::Require(DType dtype) const {
  if (dtype != dtype_)
    throw std::invalid_argument("the output has elements of type " + std::string(NameOf(dtype_)) +
                                ", not " + std::string(NameOf(dtype)));
}

}  // namespace penstock_client
