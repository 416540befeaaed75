// SPDX-License-Identifier: Apache-2.0
#include "net/ok_trailers.h"

#include <cstddef>

namespace penstock::net {
namespace {

// HPACK's form of a string: a length of one or more bytes, then the text (sections 5.1 and 5.2).
void AppendText(std::string_view text, std::string& block) {
  constexpr size_t kPrefixMax = 127;
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

const OkTrailers& OkTrailers::Plain() {
  static const OkTrailers plain({});
  return plain;
}

}  // namespace penstock::net
