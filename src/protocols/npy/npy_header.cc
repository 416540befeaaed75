// SPDX-License-Identifier: Apache-2.0
// The dictionary has three keys, in any order:
//   {'descr': '<f4', 'fortran_order': False, 'shape': (1, 784), }
// numpy reads it with Python's own parser. This reader takes only the literals that numpy writes:
// strings, True and False, and tuples of integers.
#include "protocols/npy/npy_header.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <optional>

namespace penstock::npy {
namespace {

constexpr std::string_view kMagic = "\x93NUMPY";
// The magic, two bytes of version, and the length of the dictionary in 2 or 4 bytes.
constexpr size_t kShortPrefixBytes = 10;
constexpr size_t kLongPrefixBytes = 12;
// numpy aligns the elements to this.
constexpr size_t kHeaderAlignment = 64;
// numpy's own limit is 10,000. A shape of 254 dimensions of 19 digits fits.
constexpr size_t kDictionaryBytesMax = 10'000;

struct NumberType {
  std::string_view name;  // without the byte order
  DType dtype;
};
constexpr NumberType kNumberTypes[] = {
    {"b1", DType::kBool},      {"i1", DType::kInt8},        {"u1", DType::kUint8},
    {"i2", DType::kInt16},     {"u2", DType::kUint16},      {"i4", DType::kInt32},
    {"u4", DType::kUint32},    {"i8", DType::kInt64},       {"u8", DType::kUint64},
    {"f2", DType::kFloat16},   {"f4", DType::kFloat32},     {"f8", DType::kFloat64},
    {"c8", DType::kComplex64}, {"c16", DType::kComplex128}, {"V2", DType::kBfloat16},
};

Status BadHeader(std::string_view what) {
  return InvalidArgument("the header of the .npy file is malformed: {}", what);
}

// Reads Python literals. One thread at a time.
class LiteralReader final {
 public:
  explicit LiteralReader(std::string_view text) : rest_(text) {}

  bool Take(char c) {
    SkipSpaces();
    if (!rest_.starts_with(c)) return false;
    rest_.remove_prefix(1);
    return true;
  }
  // A string without escapes, in either kind of quotes.
  std::optional<std::string_view> TakeString() {
    SkipSpaces();
    if (rest_.empty() || (rest_[0] != '\'' && rest_[0] != '"')) return std::nullopt;
    const size_t end = rest_.find(rest_[0], 1);
    if (end == rest_.npos) return std::nullopt;
    const std::string_view text = rest_.substr(1, end - 1);
    rest_.remove_prefix(end + 1);
    return text;
  }
  std::optional<bool> TakeBool() {
    SkipSpaces();
    for (const auto& [text, value] : {std::pair("True", true), std::pair("False", false)}) {
      if (!rest_.starts_with(text)) continue;
      rest_.remove_prefix(std::string_view(text).size());
      return value;
    }
    return std::nullopt;
  }
  // A tuple of sizes, such as (), (3,) or (3, 4).
  std::optional<Shape> TakeShape() {
    Shape shape;
    if (!Take('(')) return std::nullopt;
    while (!Take(')')) {
      SkipSpaces();
      int64_t size = 0;
      const auto [end, error] = std::from_chars(rest_.data(), rest_.data() + rest_.size(), size);
      if (error != std::errc{} || size < 0 || shape.rank() == kRankMax) return std::nullopt;
      rest_.remove_prefix(static_cast<size_t>(end - rest_.data()));
      if (rest_.starts_with('L')) rest_.remove_prefix(1);  // Python 2 wrote it
      shape.Append(size);
      if (!Take(',')) {
        // Without a comma, (3) would be a number, not a tuple.
        if (shape.rank() == 1 || !Take(')')) return std::nullopt;
        break;
      }
    }
    return shape;
  }
  std::string_view rest() {
    SkipSpaces();
    return rest_;
  }

 private:
  void SkipSpaces() {
    while (!rest_.empty() && (rest_[0] == ' ' || rest_[0] == '\n' || rest_[0] == '\t'))
      rest_.remove_prefix(1);
  }

  std::string_view rest_;
};

StatusOr<ElementFormat> UnknownType(std::string_view name) {
  return InvalidArgument(
      "the .npy file has elements of numpy's type '{:.40}', which no tensor has: save numbers, "
      "bools, "
      "or strings ('S' or 'U')",
      name);
}

// `name` is numpy's name of a type, such as "<f4", "|b1", "<U12".
StatusOr<ElementFormat> ParseType(std::string_view name) {
  if (name.find('O') != name.npos) {
    return InvalidArgument(
        "the .npy file has Python objects, which are pickled and never read: convert the array "
        "with "
        "astype, for example to 'S' for strings");
  }
  std::string_view kind = name;
  const char order = kind.empty() ? '\0' : kind[0];
  if (order == '<' || order == '>' || order == '|' || order == '=') kind.remove_prefix(1);
  ElementFormat format;
  for (const NumberType& type : kNumberTypes) {
    if (type.name != kind) continue;
    format = {.dtype = type.dtype, .bytes = DTypeBytes(type.dtype)};
    format.is_big_endian = order == '>' && format.bytes > 1;
    return format;
  }
  if (!kind.starts_with('S') && !kind.starts_with('U')) return UnknownType(name);
  format = {.dtype = DType::kString, .is_big_endian = order == '>', .is_text = kind[0] == 'U'};
  uint32_t length = 0;
  const auto [end, error] = std::from_chars(kind.data() + 1, kind.data() + kind.size(), length);
  if (error != std::errc{} || end != kind.data() + kind.size()) return UnknownType(name);
  format.bytes = size_t{length} * (format.is_text ? 4 : 1);
  return format;
}

StatusOr<NpyHeader> ParseDictionary(std::string_view text) {
  NpyHeader header;
  bool has_type = false, has_order = false, has_shape = false;
  LiteralReader reader(text);
  if (!reader.Take('{')) return BadHeader("it is no Python dictionary");
  while (!reader.Take('}')) {
    const std::optional<std::string_view> key = reader.TakeString();
    if (!key || !reader.Take(':')) return BadHeader("a key in quotes and ':' must follow");
    if (*key == "descr") {
      const std::optional<std::string_view> type = reader.TakeString();
      if (!type && reader.rest().starts_with('['))
        return InvalidArgument("the .npy file has records of several fields, which no tensor has");
      if (!type) return BadHeader("'descr' must be a type, such as '<f4'");
      ASSIGN_OR_RETURN(header.format, ParseType(*type));
      has_type = true;
    } else if (*key == "fortran_order") {
      const std::optional<bool> order = reader.TakeBool();
      if (!order) return BadHeader("'fortran_order' must be True or False");
      header.is_fortran_order = *order;
      has_order = true;
    } else if (*key == "shape") {
      std::optional<Shape> shape = reader.TakeShape();
      if (!shape) return BadHeader("'shape' must be a tuple of sizes, such as (3, 4)");
      header.shape = *std::move(shape);
      has_shape = true;
    } else {
      return BadHeader(fmt::format("'{:.40}' is no key of it", *key));
    }
    if (!reader.Take(',') && !reader.rest().starts_with('}'))
      return BadHeader("',' or '}' must follow a value");
  }
  if (!reader.rest().empty()) return BadHeader("text follows the dictionary");
  if (!has_type || !has_order || !has_shape)
    return BadHeader("it must have the keys 'descr', 'fortran_order' and 'shape'");
  return header;
}

size_t LittleEndian(std::string_view bytes) {
  size_t value = 0;
  for (size_t i = bytes.size(); i > 0; --i)
    value = value << 8 | static_cast<unsigned char>(bytes[i - 1]);
  return value;
}

}  // namespace

StatusOr<NpyHeader> ReadNpyHeader(std::string_view file) {
  if (!file.starts_with(kMagic)) {
    return InvalidArgument("the file is no .npy file: it must begin with the bytes \\x93NUMPY");
  }
  if (file.size() < kLongPrefixBytes) return BadHeader("the file ends in it");
  const int version = static_cast<unsigned char>(file[6]);
  if (version < 1 || version > 3) {
    return InvalidArgument("the .npy file has the format version {}; 1 to 3 are known", version);
  }
  const size_t prefix = version == 1 ? kShortPrefixBytes : kLongPrefixBytes;
  const size_t length = LittleEndian(file.substr(8, prefix - 8));
  if (length > kDictionaryBytesMax)
    return BadHeader(
        fmt::format("it has {} bytes; at most {} are read", length, kDictionaryBytesMax));
  if (length > file.size() - prefix) return BadHeader("the file ends in it");
  ASSIGN_OR_RETURN(NpyHeader header, ParseDictionary(file.substr(prefix, length)));
  header.data_at = prefix + length;
  return header;
}

std::string WriteNpyHeader(std::string_view type_name, const Shape& shape) {
  std::string sizes;
  for (const int64_t size : shape.dims()) sizes += fmt::format("{}, ", size);
  // One size keeps its comma, which makes it a tuple.
  if (!sizes.empty()) sizes.resize(sizes.size() - (shape.rank() == 1 ? 1 : 2));
  std::string text =
      fmt::format("{{'descr': '{}', 'fortran_order': False, 'shape': ({}), }}", type_name, sizes);
  const size_t bytes = kShortPrefixBytes + text.size() + 1;
  text.append((kHeaderAlignment - bytes % kHeaderAlignment) % kHeaderAlignment, ' ');
  text += '\n';
  std::string header(kMagic);
  header += {1, 0, static_cast<char>(text.size() & 0xFF), static_cast<char>(text.size() >> 8)};
  return header + text;
}

}  // namespace penstock::npy
