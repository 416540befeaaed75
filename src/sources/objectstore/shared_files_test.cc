// SPDX-License-Identifier: Apache-2.0
#include "sources/objectstore/shared_files.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <sstream>

#include "base/os/test_folder.h"

namespace penstock {
namespace {

namespace fs = std::filesystem;

class SharedFilesTest : public ::testing::Test {
 protected:
  // Writes a file of 2 MiB to a folder of a version, and returns its path.
  fs::path Write(const std::string& version, char contents, size_t bytes = 2 << 20) {
    const fs::path path = fs::path(root_ / version) / "variables/weights";
    fs::create_directories(path.parent_path());
    std::ofstream(path) << std::string(bytes, contents);
    return path;
  }
  void Share(const std::string& version) { files_.Share(root_ / version, is_cancelled_); }
  static char FirstOf(const fs::path& path) { return static_cast<char>(std::ifstream(path).get()); }
  size_t Known() const {
    return static_cast<size_t>(std::distance(fs::directory_iterator(root_ / "content"), {}));
  }

  const TestFolder root_;
  const SharedFiles files_{root_ / "content"};
  std::atomic<bool> is_cancelled_{false};
};

TEST_F(SharedFilesTest, EqualFilesOfTwoVersionsAreOne) {
  const fs::path first = Write("1", 'a'), second = Write("2", 'a'), other = Write("3", 'b');
  for (const char* version : {"1", "2", "3", "2"}) Share(version);
  EXPECT_TRUE(fs::equivalent(first, second));
  EXPECT_FALSE(fs::equivalent(first, other));
  EXPECT_EQ(fs::hard_link_count(first), 3U);
  EXPECT_EQ(FirstOf(second), 'a');
  EXPECT_EQ(FirstOf(other), 'b');
  EXPECT_EQ(Known(), 2U);
  // Nothing is left beside them.
  EXPECT_EQ(std::distance(fs::directory_iterator(second.parent_path()), {}), 1);
}

TEST_F(SharedFilesTest, SmallFilesStayAlone) {
  const fs::path first = Write("1", 'a', 1000), second = Write("2", 'a', 1000);
  Share("1");
  Share("2");
  EXPECT_FALSE(fs::equivalent(first, second));
}

TEST_F(SharedFilesTest, ForgetsWhatNoVersionHas) {
  Write("1", 'a');
  const fs::path second = Write("2", 'b');
  Share("1");
  Share("2");
  fs::remove_all(root_ / "1");
  files_.Clean();
  EXPECT_EQ(Known(), 1U);
  EXPECT_EQ(FirstOf(second), 'b');
  const fs::path third = Write("3", 'a');
  Share("3");
  EXPECT_EQ(Known(), 2U);
  EXPECT_EQ(FirstOf(third), 'a');
}

TEST_F(SharedFilesTest, ACancelledLoadEndsEarly) {
  Write("1", 'a');
  is_cancelled_ = true;
  Share("1");
  EXPECT_EQ(Known(), 0U);
}

}  // namespace
}  // namespace penstock
