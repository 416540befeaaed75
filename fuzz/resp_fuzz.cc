// SPDX-License-Identifier: Apache-2.0
// Any bytes as the answers of a Redis node. Tokens must not depend on the pieces in which the bytes
// come, and what they say about the cluster is parsed.
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <vector>

#include "redis/resp.h"
#include "redis/slot_map.h"

namespace penstock::redis {
namespace {

void Require(bool condition) {
  if (!condition) std::abort();
}

std::vector<std::string> ReadAll(std::string_view bytes, size_t piece) {
  RespReader reader(4096);
  ValueBuilder builder;
  std::vector<std::string> read;
  while (!bytes.empty()) {
    const std::span<char> space = reader.Space();
    Require(!space.empty() && space.size() < (1 << 20));
    const size_t count = std::min({space.size(), bytes.size(), piece});
    std::copy_n(bytes.data(), count, space.data());
    reader.Added(count);
    bytes.remove_prefix(count);
    Token token;
    RespReader::Result result;
    while ((result = reader.Next(token)) == RespReader::Result::kToken) {
      read.push_back(std::to_string(static_cast<int>(token.kind)) + "/" +
                     std::to_string(token.number) + "/" + std::string(token.text));
      if (token.kind == TokenKind::kError) (void)ParseRedirect(token.text, "host");
      Require(builder.Add(token));
      if (reader.answer_has_ended()) (void)ParseSlots(builder.Take(), "host");
    }
    if (result == RespReader::Result::kBroken) {
      Require(!reader.problem().empty());
      read.emplace_back(reader.problem());
      return read;
    }
  }
  return read;
}

}  // namespace
}  // namespace penstock::redis

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace penstock::redis;
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  const std::vector<std::string> whole = ReadAll(bytes, size);
  Require(whole == ReadAll(bytes, 1));
  (void)ParseAddress(bytes);
  (void)SlotOf(bytes);
  return 0;
}
