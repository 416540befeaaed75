// SPDX-License-Identifier: Apache-2.0
#include "redis/resp.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace penstock::redis {
namespace {

void Give(RespReader& reader, std::string_view bytes) {
  while (!bytes.empty()) {
    const std::span<char> space = reader.Space();
    const size_t count = std::min(space.size(), bytes.size());
    std::copy_n(bytes.data(), count, space.data());
    reader.Added(count);
    bytes.remove_prefix(count);
  }
}

// Reads all of `bytes`, which come in pieces of `piece` bytes, as one text for each token.
std::vector<std::string> ReadAll(std::string_view bytes, size_t piece) {
  RespReader reader(1 << 20);
  std::vector<std::string> read;
  for (size_t at = 0; at < bytes.size(); at += piece) {
    Give(reader, bytes.substr(at, piece));
    Token token;
    RespReader::Result result;
    while ((result = reader.Next(token)) == RespReader::Result::kToken) {
      std::string text = std::to_string(static_cast<int>(token.kind)) + "/" +
                         std::to_string(token.number) + "/" + std::string(token.text);
      if (reader.answer_has_ended()) text += "!";
      read.push_back(std::move(text));
    }
    if (result == RespReader::Result::kBroken) read.emplace_back(reader.problem());
    if (result == RespReader::Result::kBroken) return read;
  }
  return read;
}

TEST(RespReaderTest, ReadsEveryKindInAnyPieces) {
  const std::string_view bytes =
      "+OK\r\n-ERR no\r\n:-42\r\n$3\r\na\r\n\r\n$-1\r\n$0\r\n\r\n*-1\r\n*0\r\n_\r\n"
      "*3\r\n$1\r\nx\r\n*2\r\n:1\r\n$-1\r\n+y\r\n";
  const std::vector<std::string> wanted = {
      "4/0/OK!", "5/0/ERR no!", "3/-42/!", "1/0/a\r\n!", "2/0/!", "1/0/!", "2/0/!", "0/0/!",
      "2/0/!",   "0/3/",        "1/0/x",   "0/2/",       "3/1/",  "2/0/",  "4/0/y!"};
  std::string fixed(bytes);
  // "a\r\n" has 3 bytes.
  for (size_t piece = 1; piece <= fixed.size(); ++piece) EXPECT_EQ(ReadAll(fixed, piece), wanted);
}

TEST(RespReaderTest, ReadsBulksThatAreLongerThanItsBuffer) {
  std::string bytes;
  const std::string large(1 << 20, 'x');
  AppendArgument(large, bytes);
  AppendArgument("y", bytes);
  const std::vector<std::string> wanted = {"1/0/" + large + "!", "1/0/y!"};
  EXPECT_EQ(ReadAll(bytes, 100'000), wanted);
}

TEST(RespReaderTest, RefusesWhatIsNoResp) {
  for (const auto& [bytes, problem] : std::vector<std::pair<std::string, std::string>>{
           {"hello\r\n", "an answer begins with an unknown character"},
           {"\r\n", "a line does not end as it must"},
           {"+a\rb\r\n", "a line does not end as it must"},
           {"$x\r\n", "the size of a bulk is no number"},
           {"$-2\r\n", "the size of a bulk is no number"},
           {"$1048577\r\n", "a bulk is too long"},
           {"$99999999999999999999\r\n", "the size of a bulk is no number"},
           {"$1\r\nabc", "a bulk does not end as it must"},
           {"*1048577\r\n", "the size of an array is no number, or too large"},
           {":1x\r\n", "a number has other characters"},
           {"+" + std::string(5000, 'a'), "a line is too long"}}) {
    EXPECT_EQ(ReadAll(bytes, bytes.size()).back(), problem) << bytes.substr(0, 40);
  }
  std::string deep;
  for (int i = 0; i < 9; ++i) deep += "*1\r\n";
  EXPECT_EQ(ReadAll(deep, 3).back(), "arrays are nested too deep");
}

TEST(RespReaderTest, TakesNoMemoryForWhatHasNotCome) {
  RespReader reader(size_t{1} << 30);
  Give(reader, "$1000000000\r\nabc");
  Token token;
  EXPECT_EQ(reader.Next(token), RespReader::Result::kMore);
  EXPECT_LE(reader.Space().size(), 3 * RespReader::kReadBytes);
}

TEST(ValueBuilderTest, MakesTrees) {
  RespReader reader(100);
  Give(reader, "*3\r\n*2\r\n:1\r\n$1\r\na\r\n*0\r\n+z\r\n");
  ValueBuilder builder;
  Token token;
  while (reader.Next(token) == RespReader::Result::kToken) ASSERT_TRUE(builder.Add(token));
  const Value value = builder.Take();
  ASSERT_EQ(value.elements.size(), 3u);
  ASSERT_EQ(value.elements[0].elements.size(), 2u);
  EXPECT_EQ(value.elements[0].elements[0].number, 1);
  EXPECT_EQ(value.elements[0].elements[1].text, "a");
  EXPECT_EQ(value.elements[1].kind, TokenKind::kArray);
  EXPECT_EQ(value.elements[2].text, "z");
}

TEST(CommandTest, HasTheLengthsOfItsArguments) {
  const std::array<std::string_view, 2> arguments = {"GET", "a\r\nb"};
  EXPECT_EQ(MakeCommand(arguments), "*2\r\n$3\r\nGET\r\n$4\r\na\r\nb\r\n");
}

TEST(CommandTest, HasNumbersAsDigits) {
  std::string text;
  AppendNumber(int64_t{0}, text);
  AppendNumber(INT64_MIN, text);
  AppendNumber(UINT64_MAX, text);
  AppendNumber(int64_t{1234567890}, text);
  std::string expected;
  for (const std::string_view number :
       {"0", "-9223372036854775808", "18446744073709551615", "1234567890"})
    AppendArgument(number, expected);
  EXPECT_EQ(text, expected);
}

}  // namespace
}  // namespace penstock::redis
