// SPDX-License-Identifier: Apache-2.0
#include "app/token_file_watch.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <filesystem>
#include <string>
#include <thread>

#include "base/os/test_folder.h"
#include "config/token_file.h"

namespace penstock {
namespace {

using testing::HasSubstr;

class TokenFileWatchTest : public testing::Test {
 protected:
  void Write(const std::string& text) { folder_.Write("tokens", text); }
  static std::string NameOf(const TokenFileWatch& watch, const std::string& token) {
    return watch.control().Identify("Bearer " + token, {})->name();
  }
  auto Open(Duration interval, TokenFileWatch::Certificates certificates =
                                   TokenFileWatch::Certificates::kAsked) const {
    return TokenFileWatch::Open(path_, interval, certificates);
  }
  const TestFolder folder_;
  const std::string path_ = folder_ / "tokens";
};

TEST_F(TokenFileWatchTest, RefusesAFileWithAMistakeAtTheStart) {
  EXPECT_THAT(MessageOf(Open({}).status()), HasSubstr("--token_file: cannot read "));
  Write("caller {}");
  EXPECT_THAT(MessageOf(Open({}).status()), HasSubstr("has no name"));
}

TEST_F(TokenFileWatchTest, TakesAChangedFileAsAWholeOrNotAtAll) {
  Write(TokenFileLines("one", "t1", "*"));
  const auto watch = Open({});
  ASSERT_TRUE(watch.ok()) << watch.status();
  EXPECT_EQ(NameOf(**watch, "t1"), "one");
  (*watch)->Check();
  EXPECT_EQ((*watch)->control().generation(), 1u) << "nothing has changed";

  Write(TokenFileLines("two", "t2", "*") + "caller { name: \"three\" }");
  (*watch)->Check();
  EXPECT_EQ((*watch)->control().generation(), 1u);
  EXPECT_EQ(NameOf(**watch, "t1"), "one") << "the former rules stay";
  EXPECT_EQ(NameOf(**watch, "t2"), "nobody");

  Write(TokenFileLines("four", "t4", "*"));
  (*watch)->Check();
  EXPECT_EQ((*watch)->control().generation(), 2u);
  EXPECT_EQ(NameOf(**watch, "t1"), "nobody");
  EXPECT_EQ(NameOf(**watch, "t4"), "four");

  std::filesystem::remove(path_);
  (*watch)->Check();
  EXPECT_EQ(NameOf(**watch, "t4"), "four") << "a file that is gone changes nothing";
}

TEST_F(TokenFileWatchTest, WarnsOfCertificatesIfClientsAreAskedForNone) {
  using Certificates = TokenFileWatch::Certificates;
  const auto warnings = [this](Certificates asked, const std::string& before) {
    Write(before);
    testing::internal::CaptureStderr();
    const auto watch = Open({}, asked);
    EXPECT_TRUE(watch.ok()) << watch.status();
    Write("caller { name: \"c\" certificate { dns: \"c\" } allow { operation: METRICS } }");
    (*watch)->Check();
    const std::string log = testing::internal::GetCapturedStderr();
    size_t count = 0;
    for (size_t at = 0; (at = log.find("certificates have no effect", at)) != log.npos; ++at)
      ++count;
    return count;
  };
  const std::string token = TokenFileLines("one", "t1", "*");
  const std::string both =
      token + "caller { name: \"d\" certificate { dns: \"d\" } allow { operation: METRICS } }";
  EXPECT_EQ(warnings(Certificates::kAsked, both), 0u);
  EXPECT_EQ(warnings(Certificates::kNotAsked, token), 1u);
  EXPECT_EQ(warnings(Certificates::kNotAsked, both), 2u);
}

TEST_F(TokenFileWatchTest, LooksAgainByItself) {
  Write(TokenFileLines("one", "t1", "*"));
  const auto watch = Open(std::chrono::milliseconds(1));
  ASSERT_TRUE(watch.ok()) << watch.status();
  Write(TokenFileLines("two", "t2", "*"));
  while ((*watch)->control().generation() < 2) std::this_thread::yield();
  EXPECT_EQ(NameOf(**watch, "t2"), "two");
}

}  // namespace
}  // namespace penstock
