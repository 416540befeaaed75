// SPDX-License-Identifier: Apache-2.0
#include "sources/objectstore/version_cache.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "base/os/test_folder.h"

namespace penstock {
namespace {

namespace fs = std::filesystem;

// A cache in a folder of its own. One thread.
class VersionCacheTest : public ::testing::Test {
 protected:
  // The folder of a version, with a file in it.
  std::string Fill(int64_t version, const std::string& suffix = "") {
    const std::string folder = cache_->FolderOf("s3://b/m", {version}, 10);
    fs::create_directories(folder + suffix);
    std::ofstream(folder + suffix + "/model") << "x";
    return folder;
  }

  const TestFolder root_;
  const std::unique_ptr<VersionCache> cache_ = *VersionCache::Open(root_ / "cache");
};

TEST_F(VersionCacheTest, RemovesWhatIsNotWanted) {
  const std::string kept = Fill(1), gone = Fill(2), part = Fill(3, ".part"),
                    kept_part = Fill(4, ".part");
  const fs::path other = fs::path(cache_->FolderOf("s3://other/m", {1}, 1)).parent_path();
  fs::create_directories(other / "1.0");
  cache_->Keep({kept, kept_part}, /*is_all_known=*/true);
  EXPECT_TRUE(fs::exists(kept + "/model"));
  EXPECT_TRUE(fs::exists(kept_part + ".part/model"));
  EXPECT_FALSE(fs::exists(gone));
  EXPECT_FALSE(fs::exists(part + ".part"));
  EXPECT_FALSE(fs::exists(other));
}

TEST_F(VersionCacheTest, RemovesNothingBeforeAllIsKnown) {
  const std::string folder = Fill(1);
  { const VersionCache::Use use(*cache_, folder); }
  cache_->Keep({}, /*is_all_known=*/false);
  { const VersionCache::Use use(*cache_, folder); }
  EXPECT_TRUE(fs::exists(folder));
}

TEST_F(VersionCacheTest, WhatIsInUseGoesWhenItNoLongerIs) {
  const std::string folder = Fill(1);
  auto first = std::make_unique<VersionCache::Use>(*cache_, folder);
  auto second = std::make_unique<VersionCache::Use>(*cache_, folder);
  cache_->Keep({}, /*is_all_known=*/true);
  first.reset();
  EXPECT_TRUE(fs::exists(folder));
  second.reset();
  EXPECT_FALSE(fs::exists(folder));
  const std::string kept = Fill(2);
  first = std::make_unique<VersionCache::Use>(*cache_, kept);
  cache_->Keep({kept}, /*is_all_known=*/true);
  first.reset();
  EXPECT_TRUE(fs::exists(kept));
}

TEST_F(VersionCacheTest, BelongsToOneProcessAndNeedsAFolder) {
  EXPECT_EQ(VersionCache::Open(root_ / "cache").status().code(), StatusCode::kFailedPrecondition);
  EXPECT_EQ(VersionCache::Open(root_.Write("file")).status().code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(VersionCache::Open("/proc").status().code(), StatusCode::kInvalidArgument);
}

TEST_F(VersionCacheTest, LongPathsAndOddOnesMakeOneName) {
  const std::string odd = cache_->FolderOf("s3://b/a/../../x", {7}, 255);
  EXPECT_EQ(odd, root_ / "cache/s3%3A%2F%2Fb%2Fa%2F..%2F..%2Fx/7.00000000000000ff");
  const fs::path far = cache_->FolderOf("s3://b/" + std::string(5000, 'x'), {7}, 1);
  EXPECT_EQ(far.parent_path().filename().string().size(), 64U);
}

}  // namespace
}  // namespace penstock
