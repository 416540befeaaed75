// SPDX-License-Identifier: Apache-2.0
#include "remote/token_file.h"

#include <algorithm>
#include <fstream>
#include <iterator>

namespace penstock::remote {
namespace {

constexpr size_t kTokenBytesMax = 8192;

}  // namespace

StatusOr<std::string> ReadToken(const std::string& file) {
  if (file.empty()) return std::string();
  std::ifstream stream(file);
  if (!stream) return InvalidArgument("the token_file {} cannot be read", file);
  std::string token(std::istreambuf_iterator<char>(stream), {});
  const auto is_space = [](char c) { return c == '\n' || c == '\r' || c == ' ' || c == '\t'; };
  while (!token.empty() && is_space(token.back())) token.pop_back();
  const bool is_good = !token.empty() && token.size() <= kTokenBytesMax &&
                       std::ranges::all_of(token, [](char c) { return c > ' ' && c < 0x7f; });
  if (!is_good)
    return InvalidArgument("the token_file {} must hold one token: a word of printable ASCII",
                           file);
  return token;
}

}  // namespace penstock::remote
