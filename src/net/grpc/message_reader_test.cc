// SPDX-License-Identifier: Apache-2.0
#include "net/grpc/message_reader.h"

#include <gtest/gtest.h>

#include <optional>
#include <string>
#include <vector>

#include "net/body/gzip.h"
#include "net/loop/loop_fake.h"

namespace penstock::net {
namespace {

constexpr uint64_t kMessageMax = 100'000;

std::string Framed(std::string_view message, bool is_compressed = false) {
  const auto prefix = MakeGrpcPrefix(is_compressed, static_cast<uint32_t>(message.size()));
  return std::string(reinterpret_cast<const char*>(prefix.data()), prefix.size()) +
         std::string(message);
}

std::string Gzipped(std::string_view text) {
  ByteChain plain;
  plain.AppendCopy(text);
  return std::string(Flatten(GzipCompress(plain)).view());
}

// A reader and its loop. One thread.
class GrpcMessageReaderTest : public testing::Test {
 protected:
  GrpcMessageReaderTest() : loop_(router_, FakeLoop::DefaultOptions()), reader_(loop_.loop()) {
    reader_.Start({.compression = Compression::kNone, .bytes_max = kMessageMax});
  }

  // Gives `text` to the reader in pieces. Returns the messages, or nullopt after an error.
  std::optional<std::vector<std::string>> Read(std::string_view text, size_t piece) {
    std::vector<std::string> messages;
    for (size_t at = 0; at < text.size();) {
      const std::string_view next = text.substr(at, piece);
      const StatusOr<size_t> taken =
          reader_.Take(std::as_bytes(std::span(next.data(), next.size())));
      if (!taken.ok()) {
        error_ = taken.status();
        return std::nullopt;
      }
      at += *taken;
      if (reader_.has_message()) messages.emplace_back(reader_.TakeMessage().view());
    }
    return messages;
  }

  Router router_;
  FakeLoop loop_;
  GrpcMessageReader reader_;
  Status error_;
};

TEST_F(GrpcMessageReaderTest, ReadsMessagesHoweverTheyCome) {
  const std::vector<std::string> messages = {"", "one", std::string(70'000, 'x'), "", "last"};
  std::string text;
  for (const std::string& message : messages) text += Framed(message);
  for (const size_t piece : {1u, 4u, 5u, 6u, 1000u, 16'384u, 100'000u}) {
    EXPECT_EQ(Read(text, piece), messages) << piece;
    EXPECT_TRUE(reader_.is_between_messages());
  }
}

TEST_F(GrpcMessageReaderTest, StopsAtAMessageUntilItIsTaken) {
  const std::string text = Framed("one") + Framed("two");
  const StatusOr<size_t> taken = reader_.Take(std::as_bytes(std::span(text.data(), text.size())));
  ASSERT_TRUE(taken.ok());
  EXPECT_EQ(*taken, Framed("one").size());
  EXPECT_TRUE(reader_.has_message());
  EXPECT_EQ(reader_.TakeMessage().view(), "one");
}

TEST_F(GrpcMessageReaderTest, InflatesMarkedMessages) {
  reader_.Start({.compression = Compression::kGzip, .bytes_max = kMessageMax});
  const std::string text = Framed(Gzipped("packed"), true) + Framed("plain");
  EXPECT_EQ(Read(text, 7), (std::vector<std::string>{"packed", "plain"}));
}

TEST_F(GrpcMessageReaderTest, ItsErrorsHaveTheCodesOfGrpc) {
  EXPECT_EQ(Read(Framed("x", true), 100), std::nullopt);  // no encoding was announced
  EXPECT_EQ(error_.code(), StatusCode::kInternal);
  reader_.Start({.compression = Compression::kNone, .bytes_max = kMessageMax});
  EXPECT_EQ(Read(std::string("\2\0\0\0\1x", 6), 100), std::nullopt);
  EXPECT_EQ(error_.code(), StatusCode::kInternal);
  reader_.Start({.compression = Compression::kNone, .bytes_max = kMessageMax});
  EXPECT_EQ(Read(std::string("\0\xff\0\0\0", 5) + "x", 100), std::nullopt);
  EXPECT_EQ(error_.code(), StatusCode::kResourceExhausted);
  reader_.Start({.compression = Compression::kGzip, .bytes_max = kMessageMax});
  EXPECT_EQ(Read(Framed("no gzip", true), 100), std::nullopt);
  EXPECT_EQ(error_.code(), StatusCode::kInternal);
  reader_.Start({.compression = Compression::kGzip, .bytes_max = kMessageMax});
  EXPECT_EQ(Read(Framed(Gzipped(std::string(kMessageMax + 1, 'x')), true), 100), std::nullopt);
  EXPECT_EQ(error_.code(), StatusCode::kResourceExhausted);
}

TEST_F(GrpcMessageReaderTest, KnowsWhenARequestEndsInAMessage) {
  EXPECT_TRUE(reader_.is_between_messages());
  EXPECT_EQ(Read(Framed("abc").substr(0, 3), 100), std::vector<std::string>());
  EXPECT_FALSE(reader_.is_between_messages());
}

}  // namespace
}  // namespace penstock::net
