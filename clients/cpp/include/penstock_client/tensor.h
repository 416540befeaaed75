// SPDX-License-Identifier: Apache-2.0
// The tensors that go to a model and come from it.
#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <memory>
#include <optional>
#include <ranges>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "penstock_client/float16.h"

namespace penstock_client {

// The types of elements. The numbers are those of GraphPipe.
enum class DType : uint8_t {
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

// As "float32".
std::string_view NameOf(DType dtype);
// Bytes of an element; 0 for strings.
size_t BytesOf(DType dtype);

// Numbers for which GraphPipe has a type. Characters have none. bool is sent as Uint8, which the
// server takes for bool.
template <typename T>
concept Number =
    std::same_as<T, float> || std::same_as<T, double> || std::same_as<T, Float16> ||
    std::same_as<T, std::byte> ||
    (std::integral<T> && !std::same_as<T, char> && !std::same_as<T, wchar_t> &&
     !std::same_as<T, char8_t> && !std::same_as<T, char16_t> && !std::same_as<T, char32_t>);

template <Number T>
constexpr DType DTypeOf() {
  if constexpr (std::same_as<T, float>) return DType::kFloat32;
  if constexpr (std::same_as<T, double>) return DType::kFloat64;
  if constexpr (std::same_as<T, Float16>) return DType::kFloat16;
  const bool is_signed = std::is_signed_v<T>;
  if (sizeof(T) == 1) return is_signed ? DType::kInt8 : DType::kUint8;
  if (sizeof(T) == 2) return is_signed ? DType::kInt16 : DType::kUint16;
  if (sizeof(T) == 4) return is_signed ? DType::kInt32 : DType::kUint32;
  return is_signed ? DType::kInt64 : DType::kUint64;
}

// std::vector<float>, std::span<const int64_t>, std::array<bool, 3>: numbers side by side in
// memory.
template <typename R>
concept Numbers = std::ranges::contiguous_range<const R> && std::ranges::sized_range<const R> &&
                  Number<std::ranges::range_value_t<const R>>;

// std::vector<std::string>, std::span<const std::string_view> and others, but none that makes
// strings while it is read.
template <typename R>
concept Strings = std::ranges::forward_range<const R> &&
                  std::convertible_to<std::ranges::range_reference_t<const R>, std::string_view> &&
                  (std::is_lvalue_reference_v<std::ranges::range_reference_t<const R>> ||
                   std::same_as<std::ranges::range_value_t<const R>, std::string_view>);

// The sizes of the dimensions. None: a scalar.
using Shape = std::vector<int64_t>;

// An input of a model: a view of the caller's elements, which are not copied. They must live, and
// may not change, until the call returns. One thread at a time.
//
//   std::vector<float> values = ...;
//   model.Infer({{"image", values, {1, 224, 224, 3}}, {"limit", limits}});
class Input {
 public:
  // Without a shape it is that of a list. Throws std::invalid_argument if the shape does not have
  // that many elements.
  template <Numbers R>
  Input(const R& values) : Input(values, ShapeOfList(std::ranges::size(values))) {}
  template <Numbers R>
  Input(const R& values, Shape shape)
      : Input(DTypeOf<std::ranges::range_value_t<const R>>(),
              std::as_bytes(std::span(std::ranges::data(values), std::ranges::size(values))),
              std::move(shape)) {}
  template <Strings R>
  Input(const R& values) : Input(ViewsOf(values), std::nullopt) {}
  template <Strings R>
  Input(const R& values, Shape shape) : Input(ViewsOf(values), std::optional(std::move(shape))) {}
  // With the name of the input. Without names, inputs are in the order of the metadata.
  template <typename R>
    requires Numbers<R> || Strings<R>
  Input(std::string_view name, const R& values) : Input(values) {
    name_ = name;
  }
  template <typename R>
    requires Numbers<R> || Strings<R>
  Input(std::string_view name, const R& values, Shape shape) : Input(values, std::move(shape)) {
    name_ = name;
  }
  // Elements of a type that is known at run time only, little-endian, row by row. `dtype` is not
  // kString.
  Input(DType dtype, std::span<const std::byte> bytes, Shape shape);

  const std::string& name() const { return name_; }
  DType dtype() const { return dtype_; }
  const Shape& shape() const { return shape_; }
  // The elements: one of these is empty.
  std::span<const std::byte> bytes() const { return bytes_; }
  std::span<const std::string_view> strings() const { return strings_; }

 private:
  Input(std::vector<std::string_view> strings, std::optional<Shape> shape);

  static Shape ShapeOfList(size_t size) { return {static_cast<int64_t>(size)}; }
  template <typename R>
  static std::vector<std::string_view> ViewsOf(const R& values) {
    std::vector<std::string_view> views;
    for (const std::string_view value : values) views.push_back(value);
    return views;
  }

  std::string name_;
  DType dtype_;
  Shape shape_;
  std::span<const std::byte> bytes_;
  std::vector<std::string_view> strings_;
};

// The inputs of a call: one, several in the order of the metadata, or several with names.
// One thread at a time.
class Inputs {
 public:
  template <typename R>
    requires std::convertible_to<const R&, Input>
  Inputs(const R& input) : inputs_({Input(input)}) {}
  Inputs(std::initializer_list<Input> inputs) : inputs_(inputs) {}
  Inputs(std::vector<Input> inputs) : inputs_(std::move(inputs)) {}

  std::span<const Input> list() const { return inputs_; }

 private:
  std::vector<Input> inputs_;
};

// An output of a model: a view of the received answer. All outputs of a call keep the whole answer
// in memory; copy a small one that you keep for long. Immutable.
class Output {
 public:
  DType dtype() const { return dtype_; }
  const Shape& shape() const { return shape_; }
  // Elements.
  size_t size() const {
    return dtype_ == DType::kString ? strings_.size() : bytes_.size() / BytesOf(dtype_);
  }
  // The elements, aligned for T; large ones of Penstock's to 64 bytes. Throws std::invalid_argument
  // if they have another type. They live as long as an Output of this call: so not as
  // model.InferOne(x).values<float>().
  template <Number T>
    requires(!std::same_as<T, bool>)
  std::span<const T> values() const& {
    Require(DTypeOf<T>());
    return {reinterpret_cast<const T*>(bytes_.data()), bytes_.size() / sizeof(T)};
  }
  template <Number T>
  std::span<const T> values() const&& = delete;
  // The same for strings, which are any bytes.
  std::span<const std::string_view> strings() const& {
    Require(DType::kString);
    return strings_;
  }
  std::span<const std::string_view> strings() const&& = delete;
  // The elements as bytes, none for strings.
  std::span<const std::byte> bytes() const& { return bytes_; }
  std::span<const std::byte> bytes() const&& = delete;

 private:
  friend class AnswerReader;
  Output() = default;
  // Throws unless the elements have this type.
  void Require(DType dtype) const;

  DType dtype_ = DType::kUint8;
  Shape shape_;
  std::span<const std::byte> bytes_;
  std::vector<std::string_view> strings_;
  std::shared_ptr<const void> memory_;  // in which the elements lie
};

}  // namespace penstock_client
