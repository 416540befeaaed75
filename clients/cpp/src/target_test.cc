// SPDX-License-Identifier: Apache-2.0
#include "target.h"

#include <gtest/gtest.h>

#include <stdexcept>

namespace penstock_client {
namespace {

TEST(TargetTest, Paths) {
  EXPECT_EQ(TargetOf(std::nullopt, {}), "/");
  EXPECT_EQ(TargetOf("a/b c", {}), "/graphpipe/a%2Fb%20c");
  EXPECT_EQ(TargetOf("m", {.version = 3}), "/graphpipe/m/versions/3");
  EXPECT_EQ(TargetOf("m", {.label = "new est", .signature = "s&t"}),
            "/graphpipe/m/labels/new%20est?signature_name=s%26t");
  EXPECT_EQ(TargetOf("..", {}), "/graphpipe/..");
}

TEST(TargetTest, WrongOnes) {
  EXPECT_THROW(TargetOf("m", {.version = 1, .label = "a"}), std::invalid_argument);
  EXPECT_THROW(TargetOf(std::nullopt, {.version = 1}), std::invalid_argument);
  EXPECT_THROW(TargetOf("", {}), std::invalid_argument);
}

TEST(TargetTest, Urls) {
  bool is_tls = true;
  EXPECT_EQ(CheckUrl("http://localhost:8501/proxy/", is_tls), "http://localhost:8501/proxy");
  EXPECT_FALSE(is_tls);
  EXPECT_EQ(CheckUrl("https://[::1]:8501", is_tls), "https://[::1]:8501");
  EXPECT_TRUE(is_tls);
  for (const char* url :
       {"localhost:8501", "localhost", "", "http://", "ftp://h", "http://h?q", "http://h#f",
        "http://u:p@h", "http://:p@h", "http:/h", "http://:p@h", "http:/h", "http://h:70000"})
    EXPECT_THROW(CheckUrl(url, is_tls), std::invalid_argument) << url;
}

}  // namespace
}  // namespace penstock_client
