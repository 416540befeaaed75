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
  const TestFolder folder_;
  const std::string path_ = folder_ / "tokens";
};

TEST_F(TokenFileWatchTest, RefusesAFileWithAMistakeAtTheStart) {
  EXPECT_THAT(MessageOf(TokenFileWatch::Open(path_, {}).status()),
              HasSubstr("--token_file: cannot read "));
  Write("caller {}");
  EXPECT_THAT(MessageOf(TokenFileWatch::Open(path_, {}).status()), HasSubstr("has no name"));
}

TEST_F(TokenFileWatchTest, TakesAChangedFileAsAWholeOrNotAtAll) {
  Write(TokenFileLines("one", "t1", "*"));
  const auto watch = TokenFileWatch::Open(path_, {});
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

TEST_F(TokenFileWatchTest, LooksAgainByItself) {
  Write(TokenFileLines("one", "t1", "*"));
  const auto watch = TokenFileWatch::Open(path_, std::chrono::milliseconds(1));
  ASSERT_TRUE(watch.ok()) << watch.status();
  Write(TokenFileLines("two", "t2", "*"));
  while ((*watch)->control().generation() < 2) std::this_thread::yield();
  EXPECT_EQ(NameOf(**watch, "t2"), "two");
}

}  // namespace
}  // namespace penstock
