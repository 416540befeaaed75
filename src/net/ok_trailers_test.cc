// SPDX-License-Identifier: Apache-2.0
#include "net/ok_trailers.h"

#include <gtest/gtest.h>

#include <cstddef>
#include <string>
#include <utility>
#include <vector>

namespace penstock::net {
namespace {

const std::string kStatus = std::string{0, 11} + "grpc-status" + std::string{1, '0'};

TEST(OkTrailersTest, AreLiteralFieldsOfHpack) {
  EXPECT_EQ(OkTrailers::Plain().block(), kStatus);
  const std::string field = {0, 1, 'a', 2, 'b', 'c'};
  EXPECT_EQ(OkTrailers({{"a", "bc"}, {"left-out", ""}}).block(), kStatus + field);
}

TEST(OkTrailersTest, LongValuesHaveALengthOfSeveralBytes) {
  const std::string value(127 + 300, 'v');
  const std::string head = {0, 1, 'a', 127, static_cast<char>(0xac), 2};
  EXPECT_EQ(OkTrailers({{"a", value}}).block(), kStatus + head + value);
  const std::string edge(127, 'v');
  const std::string edge_head = {0, 1, 'a', 127, 0};
  EXPECT_EQ(OkTrailers({{"a", edge}}).block(), kStatus + edge_head + edge);
}

TEST(OkTrailersTest, FieldsComeBackOutOfTheBlock) {
  using Fields = std::vector<OkTrailers::Field>;
  for (const size_t size : {1, 126, 127, 254, 255, 300, 16000}) {
    const std::string value(size, 'v');
    const Fields expected = {{"grpc-status", "0"}, {"a", value}, {"b", "c"}};
    const OkTrailers trailers({{"a", value}, {"b", "c"}});
    EXPECT_EQ(OkTrailers::FieldsOf(trailers.block()), expected);
  }
}

}  // namespace
}  // namespace penstock::net
