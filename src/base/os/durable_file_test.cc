// SPDX-License-Identifier: Apache-2.0
#include "base/os/durable_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <iterator>

#include "base/os/test_folder.h"

namespace penstock {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

class DurableFileTest : public testing::Test {
 protected:
  const TestFolder folder_;
  const std::string path_ = folder_ / "file";
};

TEST_F(DurableFileTest, ReplacesTheFileAndLeavesNoOther) {
  for (const std::string& text :
       {std::string(3'000'000, 'x'), std::string("short"), std::string()}) {
    ASSERT_EQ(ReplaceFileDurably(path_, text), OkStatus());
    EXPECT_EQ(folder_.Read("file"), text);
  }
  EXPECT_EQ(std::distance(fs::directory_iterator(folder_.path()), fs::directory_iterator()), 1);
}

TEST_F(DurableFileTest, APathWithoutAFolderIsInTheWorkingFolder) {
  const fs::path before = fs::current_path();
  fs::current_path(folder_.path());
  EXPECT_EQ(ReplaceFileDurably("file", "here"), OkStatus());
  fs::current_path(before);
  EXPECT_EQ(folder_.Read("file"), "here");
}

TEST_F(DurableFileTest, ErrorsSayWhatAndWhy) {
  const Status no_folder = ReplaceFileDurably(folder_ / "nowhere/file", "x");
  EXPECT_EQ(no_folder.code(), StatusCode::kInternal);
  EXPECT_EQ(MessageOf(no_folder),
            "cannot write " + folder_ / "nowhere/file.new" + ": No such file or directory");
  EXPECT_THAT(MessageOf(ReplaceFileDurably("/dev/full/x", "x")), HasSubstr("Not a directory"));
  folder_.Make("file/inside");
  EXPECT_THAT(MessageOf(ReplaceFileDurably(path_, "x")), HasSubstr("cannot rename "));
  EXPECT_FALSE(fs::exists(path_ + ".new"));
}

TEST_F(DurableFileTest, AFullDiskKeepsTheOldFile) {
  ASSERT_EQ(ReplaceFileDurably(path_, "old"), OkStatus());
  fs::create_symlink("/dev/full", path_ + ".new");
  EXPECT_THAT(MessageOf(ReplaceFileDurably(path_, "new")), HasSubstr("No space left on device"));
  EXPECT_EQ(folder_.Read("file"), "old");
  EXPECT_FALSE(fs::is_symlink(path_ + ".new"));
}

}  // namespace
}  // namespace penstock
