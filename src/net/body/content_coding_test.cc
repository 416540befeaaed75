// SPDX-License-Identifier: Apache-2.0
#include "net/body/content_coding.h"

#include <gtest/gtest.h>

namespace penstock::net {
namespace {

TEST(AnswerCodingTest, HonoursQualities) {
  for (const char* yes :
       {"gzip", "deflate, GZIP;q=0.5", "*", "x-gzip", "gzip;q=1.0, identity", " gzip ;q=0.001, br"})
    EXPECT_EQ(AnswerCoding(yes), Coding::kGzip) << yes;
  for (const char* no :
       {"", "deflate", "gzip;q=0", "gzip;q=0.0, *", "*;q=0", "gzipped",
        "gzip;q=0.2, identity;q=0.8", ";;,,", "gzip;q=-1", "gzip;q=nan", "gzip;q=-nan"})
    EXPECT_EQ(AnswerCoding(no), Coding::kIdentity) << no;
  for (const char* zstd : {"zstd", "gzip, deflate, br, ZSTD", "gzip;q=0.5, zstd;q=0.5", "zstd, *"})
    EXPECT_EQ(AnswerCoding(zstd), Coding::kZstd) << zstd;
  EXPECT_EQ(AnswerCoding("gzip, zstd;q=0.9"), Coding::kGzip);
  EXPECT_EQ(AnswerCoding("zstd;q=0.5, identity"), Coding::kIdentity);
}

}  // namespace
}  // namespace penstock::net
