// SPDX-License-Identifier: Apache-2.0
#include "answer_body.h"

#include <gtest/gtest.h>

#include <cstring>
#include <string>

#include "penstock_client/errors.h"

namespace penstock_client {
namespace {

void Add(AnswerBody& body, const std::string& text) { body.Add(std::as_bytes(std::span(text))); }

std::string Taken(AnswerBody& body) {
  const Block block = body.Take();
  return {reinterpret_cast<const char*>(block.span().data()), block.size()};
}

TEST(AnswerBodyTest, AToldLengthIsOneBlock) {
  AnswerBody body(100);
  body.Expect(6);
  Add(body, "one");
  Add(body, "two");
  EXPECT_EQ(Taken(body), "onetwo");
}

TEST(AnswerBodyTest, OtherBodiesAreJoined) {
  AnswerBody body(1 << 20);
  std::string all;
  for (int i = 0; i < 1000; ++i) {
    const std::string part(static_cast<size_t>(i % 700), static_cast<char>('a' + i % 26));
    Add(body, part);
    all += part;
  }
  EXPECT_TRUE(Taken(body) == all);
  AnswerBody empty(0);
  EXPECT_EQ(Taken(empty), "");
}

TEST(AnswerBodyTest, NoByteMoreThanTheLimit) {
  for (const size_t limit : {size_t{1}, size_t{65536}, size_t{100'000}}) {
    AnswerBody body(limit);
    EXPECT_THROW(body.Expect(limit + 1), ProtocolError);
    Add(body, std::string(limit, 'x'));
    EXPECT_THROW(Add(body, "y"), ProtocolError);
    EXPECT_EQ(Taken(body).size(), limit);
  }
}

}  // namespace
}  // namespace penstock_client
