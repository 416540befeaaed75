// SPDX-License-Identifier: Apache-2.0
#include "net/ok_trailers.h"

#include <cstddef>
#include <cstdint>
#include <utility>

namespace penstock::net {
namespace {

// The largest length that fits into the first byte of a string. Larger ones go on behind it.
constexpr size_t kPrefixMax = 127;

// HPACK's form of a string: a length of one or more bytes, then the text (sections 5.1 and 5.2).
void AppendText(std::string_view text, std::string& block) {
  size_t left = text.size();
  if (left < kPrefixMax) {
    block += static_cast<char>(left);
  } else {
    block += static_cast<char>(kPrefixMax);
    for (left -= kPrefixMax; left >= 128; left /= 128) block += static_cast<char>(left % 128 + 128);
    block += static_cast<char>(left);
  }
  block += text;
}

// Reads what AppendText wrote, and removes it from `block`.
std::string_view TakeText(std::string_view& block) {
  const auto take_byte = [&block] {
    const auto byte = static_cast<uint8_t>(block.front());
    block.remove_prefix(1);
    return size_t{byte};
  };
  size_t size = take_byte();
  if (size == kPrefixMax) {
    int shift = 0;
    for (size_t byte = 128; byte >= 128; shift += 7) {
      byte = take_byte();
      size += byte % 128 << shift;
    }
  }
  const std::string_view text = block.substr(0, size);
  block.remove_prefix(size);
  return text;
}

void AppendField(const OkTrailers::Field& field, std::string& block) {
  constexpr char kLiteralWithoutIndexing = 0;
  block += kLiteralWithoutIndexing;
  AppendText(field.first, block);
  AppendText(field.second, block);
}

}  // namespace

OkTrailers::OkTrailers(std::initializer_list<Field> fields) {
  AppendField({"grpc-status", "0"}, block_);
  for (const Field& field : fields)
    if (!field.second.empty()) AppendField(field, block_);
}

std::vector<OkTrailers::Field> OkTrailers::FieldsOf(std::string_view block) {
  std::vector<Field> fields;
  while (!block.empty()) {
    block.remove_prefix(1);  // kLiteralWithoutIndexing
    const std::string_view name = TakeText(block);
    fields.emplace_back(name, TakeText(block));
  }
  return fields;
}

const OkTrailers& OkTrailers::Plain() {
  static const OkTrailers plain({});
  return plain;
}

}  // namespace penstock::net
