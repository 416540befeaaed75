// SPDX-License-Identifier: Apache-2.0
#include "net/body/gzip.h"

#include <gtest/gtest.h>

#include <span>
#include <string>

namespace penstock::net {
namespace {

TEST(GzipTest, SeveralMembersCountAsOne) {
  ByteChain hello;
  hello.AppendCopy("hello ");
  hello.AppendCopy("world");
  ByteChain twice = GzipCompress(hello);
  twice.Append(GzipCompress(hello));
  const Slice packed = Flatten(twice);
  Inflater inflater;
  std::string plain;
  std::span<const std::byte> input = packed.span();
  while (true) {
    std::byte piece[3];
    const StatusOr<size_t> bytes = inflater.Inflate(input, piece);
    ASSERT_TRUE(bytes.ok());
    plain.append(reinterpret_cast<const char*>(piece), *bytes);
    if (*bytes < sizeof piece) break;
  }
  EXPECT_EQ(plain, "hello worldhello world");
  EXPECT_TRUE(inflater.is_complete());
}

}  // namespace
}  // namespace penstock::net
