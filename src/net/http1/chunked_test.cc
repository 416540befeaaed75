// SPDX-License-Identifier: Apache-2.0
#include "net/http1/chunked.h"

#include <gtest/gtest.h>

#include <optional>
#include <string>

namespace penstock::net {
namespace {

constexpr size_t kOverheadMax = 100;

struct Decoded {
  std::string body;
  std::string rest;  // what follows the body
  ChunkedDecoder::Result result = ChunkedDecoder::Result::kMore;
};

// Decodes `text`, which comes in pieces of `piece` bytes.
Decoded Decode(std::string_view text, size_t piece) {
  ChunkedDecoder decoder(kOverheadMax);
  decoder.Start();
  Decoded decoded;
  for (size_t at = 0; at < text.size(); at += piece) {
    const std::string_view next = text.substr(at, piece);
    std::span<const std::byte> input = std::as_bytes(std::span(next.data(), next.size()));
    std::span<const std::byte> data;
    while ((decoded.result = decoder.Decode(input, data)) == ChunkedDecoder::Result::kData)
      decoded.body.append(reinterpret_cast<const char*>(data.data()), data.size());
    if (decoded.result == ChunkedDecoder::Result::kBad) return decoded;
    if (decoded.result == ChunkedDecoder::Result::kEnd) {
      decoded.rest = text.substr(at + next.size() - input.size());
      return decoded;
    }
  }
  return decoded;
}

TEST(ChunkedDecoderTest, JoinsTheChunksHoweverTheyCome) {
  const std::string text =
      "5\r\nhello\r\n00a;x=\"y\"\r\n, world!!!\r\n0\r\nTrailer: x\r\n\r\nGET /";
  for (size_t piece = 1; piece <= text.size(); ++piece) {
    const Decoded decoded = Decode(text, piece);
    EXPECT_EQ(decoded.result, ChunkedDecoder::Result::kEnd) << piece;
    EXPECT_EQ(decoded.body, "hello, world!!!") << piece;
    EXPECT_EQ(decoded.rest, "GET /") << piece;
  }
}

TEST(ChunkedDecoderTest, WantsMoreUntilTheLastLineEnds) {
  for (const char* text : {"5", "5\r\n", "5\r\nhel", "5\r\nhello\r\n", "0\r\n", "0\r\na: b\r\n"})
    EXPECT_EQ(Decode(text, 100).result, ChunkedDecoder::Result::kMore) << text;
}

TEST(ChunkedDecoderTest, RefusesWhatOthersMightReadDifferently) {
  for (const char* text :
       {"\r\n", "x\r\n", "-1\r\n", "+1\r\n", "0x5\r\nhello\r\n", " 5\r\nhello\r\n", "5\nhello\n",
        "5\rhello", "5\r\nhelloX", "5\r\nhello\n", "5\r\nhello\rX", "0\n\n", "0\r\n\n",
        "fffffffffffffffff\r\n", "10000000000000000\r\n"}) {
    EXPECT_EQ(Decode(text, 1).result, ChunkedDecoder::Result::kBad) << text;
    EXPECT_EQ(Decode(text, 100).result, ChunkedDecoder::Result::kBad) << text;
  }
}

TEST(ChunkedDecoderTest, LimitsExtensionsAndTrailersTogether) {
  EXPECT_EQ(Decode("1;" + std::string(200, 'x') + "\r\na\r\n0\r\n\r\n", 7).result,
            ChunkedDecoder::Result::kBad);
  EXPECT_EQ(Decode("0\r\na: " + std::string(200, 'x') + "\r\n\r\n", 7).result,
            ChunkedDecoder::Result::kBad);
  std::string many;
  for (int i = 0; i < 30; ++i) many += "1;abcd\r\nx\r\n";
  EXPECT_EQ(Decode(many, 7).result, ChunkedDecoder::Result::kBad);
}

}  // namespace
}  // namespace penstock::net
