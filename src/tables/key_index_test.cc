// SPDX-License-Identifier: Apache-2.0
#include "tables/key_index.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <sys/file.h>
#include <unistd.h>

#include <filesystem>
#include <random>
#include <set>

#include "tables/key_hash.h"
#include "tables/table_fixture.h"

namespace penstock::tables {
namespace {

using testing::HasSubstr;

class KeyIndexTest : public TableFixture {
 protected:
  void Write(const std::vector<int64_t>& keys) {
    file_ = *MappedFile::Open(folder_.Write("key", BytesOf(keys)));
    keys_ = {.type = KeyType::kInt64, .file = &file_};
    keys_.numbers = {reinterpret_cast<const int64_t*>(file_.data()), keys.size()};
  }
  void Write(std::string_view lines) {
    file_ = *MappedFile::Open(folder_.Write("key", lines));
    keys_ = {.type = KeyType::kString, .text = file_.text(), .file = &file_};
  }
  StatusOr<KeyIndex> Make() { return KeyIndex::OpenOrBuild(keys_, path_, stop_); }
  std::string ErrorOfMake() { return Make().status().ToString(); }

  template <typename Key>
  static std::vector<uint32_t> FindBothWays(const KeyIndex& index, std::span<const Key> keys) {
    std::vector<uint32_t> rows(keys.size());
    index.Find(keys, rows.data());
    std::vector<uint32_t> on_disk(keys.size());
    index.FindOnDisk(keys, on_disk.data());
    EXPECT_EQ(rows, on_disk);
    return rows;
  }
  static std::vector<uint32_t> Find(const KeyIndex& index, const std::vector<int64_t>& keys) {
    return FindBothWays<int64_t>(index, keys);
  }
  static std::vector<uint32_t> FindStrings(const KeyIndex& index,
                                           const std::vector<std::string_view>& keys) {
    const Tensor strings = KeysOf(keys);
    return FindBothWays<StringElement>(index, strings.strings());
  }

  const std::string path_ = folder_ / "key.index";
  MappedFile file_;
  KeyFile keys_;
};

std::vector<int64_t> RandomKeys(size_t count) {
  std::mt19937_64 random(1);
  std::set<int64_t> keys;
  while (keys.size() < count) keys.insert(static_cast<int64_t>(random()));
  return {keys.begin(), keys.end()};
}

TEST_F(KeyIndexTest, FindsEveryKeyAndNoOther) {
  std::vector<int64_t> keys = RandomKeys(5000);
  for (int64_t key = -10; key < 1000; ++key) keys.push_back(key);  // as ids often are
  Write(keys);
  const auto index = Make();
  ASSERT_TRUE(index.ok()) << index.status();
  const std::vector<uint32_t> rows = Find(*index, keys);
  for (size_t i = 0; i < keys.size(); ++i) ASSERT_EQ(rows[i], i);
  EXPECT_EQ(Find(*index, {1000, -11, INT64_MAX}), (std::vector{kNoRow, kNoRow, kNoRow}));
}

TEST_F(KeyIndexTest, FindsStrings) {
  Write(
      "a\n\nGr\xC3\xB6\xC3\x9F"
      "e\nlast");
  const auto index = Make();
  ASSERT_TRUE(index.ok()) << index.status();
  EXPECT_EQ(index->rows(), 4U);
  EXPECT_EQ(FindStrings(*index, {"last", "",
                                 "Gr\xC3\xB6\xC3\x9F"
                                 "e",
                                 "a", "b", "a\n"}),
            (std::vector<uint32_t>{3, 1, 2, 0, kNoRow, kNoRow}));
  EXPECT_EQ(index->KeyOf(2),
            "Gr\xC3\xB6\xC3\x9F"
            "e");
  EXPECT_EQ(index->KeyOf(3), "last");
}

TEST_F(KeyIndexTest, AnEmptyTableHasNoKey) {
  Write(std::vector<int64_t>{});
  const auto index = Make();
  ASSERT_TRUE(index.ok()) << index.status();
  EXPECT_EQ(Find(*index, {0}), std::vector{kNoRow});
}

TEST_F(KeyIndexTest, TakesAFewBytesForEachRow) {
  Write(RandomKeys(10'000));
  ASSERT_TRUE(Make().ok());
  EXPECT_LT(std::filesystem::file_size(path_), 25 * 10'000U);
}

TEST_F(KeyIndexTest, IsMadeOnce) {
  Write({5, 6});
  ASSERT_TRUE(Make().ok());
  const auto before = std::filesystem::last_write_time(path_);
  EXPECT_FALSE(std::filesystem::exists(path_ + ".new"));
  EXPECT_EQ(Find(*Make(), {6}), std::vector<uint32_t>{1});
  EXPECT_EQ(std::filesystem::last_write_time(path_), before);
}

// Another process that waits for the maker had to wait until the maker's table was unloaded.
TEST_F(KeyIndexTest, TheMakerDoesNotKeepItsLock) {
  Write(RandomKeys(100));
  const auto index = Make();
  ASSERT_TRUE(index.ok()) << index.status();
  const int file = open(path_.c_str(), O_RDWR);
  ASSERT_GE(file, 0);
  EXPECT_EQ(flock(file, LOCK_EX | LOCK_NB), 0);
  close(file);
}

TEST_F(KeyIndexTest, IsMadeAgainForOtherKeys) {
  Write({5, 6});
  ASSERT_TRUE(Make().ok());
  Write({6, 5, 7});
  EXPECT_THAT(KeyIndex::Open(keys_, path_).status().ToString(), HasSubstr("keys have changed"));
  EXPECT_EQ(Find(*Make(), {6, 7}), (std::vector<uint32_t>{0, 2}));
}

TEST_F(KeyIndexTest, AChecksumTellsThatACopyHasTheSameKeys) {
  Write({5, 6});
  ASSERT_TRUE(Make().ok());
  std::filesystem::last_write_time(folder_ / "key", std::filesystem::file_time_type::min());
  Write({5, 6});
  std::filesystem::last_write_time(
      folder_ / "key", std::filesystem::file_time_type::clock::now() + std::chrono::hours(1));
  file_ = *MappedFile::Open(folder_ / "key");
  keys_.numbers = {reinterpret_cast<const int64_t*>(file_.data()), 2};
  EXPECT_FALSE(KeyIndex::Open(keys_, path_).ok());
  keys_.checksum = 0x12345678;
  EXPECT_FALSE(KeyIndex::Open(keys_, path_).ok());
  EXPECT_THAT(ErrorOfMake(), HasSubstr("is damaged: its checksum is crc32c:"));
  const std::string message = ErrorOfMake();
  keys_.checksum = static_cast<uint32_t>(
      std::stoul(message.substr(message.find("crc32c:") + 7, 8), nullptr, 16));
  EXPECT_TRUE(KeyIndex::Open(keys_, path_).ok());
}

TEST_F(KeyIndexTest, RefusesKeysThatAreThereTwice) {
  Write({1, 2, 3, 2});
  const auto before = std::filesystem::last_write_time(folder_.path());
  EXPECT_THAT(ErrorOfMake(), HasSubstr("the key 2 is there twice, in rows 1 and 3"));
  // So the source of versions sees no change, and does not load it again and again.
  EXPECT_EQ(std::filesystem::last_write_time(folder_.path()), before);
  Write("a\nb\na\n");
  EXPECT_THAT(ErrorOfMake(), HasSubstr("the key 'a' is there twice, in rows 0 and 2"));
  EXPECT_FALSE(std::filesystem::exists(path_));
  EXPECT_FALSE(std::filesystem::exists(path_ + ".new"));
}

TEST_F(KeyIndexTest, RefusesKeysOfAnotherShard) {
  std::vector<int64_t> keys;
  for (int64_t key = 0; keys.size() < 3; ++key) {
    if (HashKey(key) % 2 == 0) keys.push_back(key);
  }
  Write(keys);
  keys_.shard = {.index = 0, .count = 2};
  EXPECT_TRUE(Make().ok());
  keys_.shard.index = 1;
  EXPECT_THAT(ErrorOfMake(), HasSubstr("belongs to shard 0, not to 1 of 2"));
}

TEST_F(KeyIndexTest, TakesMemoryIfTheFolderCannotBeWritten) {
  Write({5, 6});
  const auto index = KeyIndex::OpenOrBuild(keys_, folder_ / "nowhere/key.index", stop_);
  ASSERT_TRUE(index.ok()) << index.status();
  EXPECT_EQ(Find(*index, {6}), std::vector<uint32_t>{1});
}

TEST_F(KeyIndexTest, StopsWhenTheLoadIsCancelled) {
  Write({5, 6});
  stop_ = true;
  EXPECT_EQ(Make().status().code(), StatusCode::kCancelled);
  EXPECT_FALSE(std::filesystem::exists(path_ + ".new"));
}

TEST_F(KeyIndexTest, RefusesKeysThatCrowd) {
  // Keys whose hashes are all in the first bucket, by the inverse of the hash.
  const auto unmix = [](uint64_t key) {
    key = (key ^ (key >> 31) ^ (key >> 62)) * 0x319642B2D24D8EC3;
    key = (key ^ (key >> 27) ^ (key >> 54)) * 0x96DE1B173F119089;
    return static_cast<int64_t>(key ^ (key >> 30) ^ (key >> 60));
  };
  std::vector<int64_t> keys;
  for (uint64_t hash = 0; hash < 6000; ++hash) keys.push_back(unmix(hash));
  ASSERT_EQ(HashKey(keys[77]), 77U);
  Write(keys);
  EXPECT_THAT(ErrorOfMake(), HasSubstr("nearly the same hash"));
}

TEST_F(KeyIndexTest, ADamagedFileIsSafe) {
  Write(RandomKeys(300));
  ASSERT_TRUE(Make().ok());
  const std::string good = folder_.Read("key.index");
  std::mt19937 random(2);
  for (int round = 0; round < 100; ++round) {
    std::string bad = good;
    // Behind the header, whose checksum would tell.
    for (int i = 0; i < 40; ++i)
      bad[128 + random() % (bad.size() - 128)] = static_cast<char>(random());
    folder_.Write("key.index", bad);
    const auto index = KeyIndex::Open(keys_, path_);
    ASSERT_TRUE(index.ok());
    for (const uint32_t row : Find(*index, RandomKeys(500)))
      ASSERT_TRUE(row == kNoRow || row < 300);
  }
}

TEST_F(KeyIndexTest, ATornFileIsMadeAgain) {
  Write({5, 6});
  ASSERT_TRUE(Make().ok());
  const std::string good = folder_.Read("key.index");
  for (const size_t size : {size_t{0}, size_t{5}, size_t{128}, good.size() - 1}) {
    folder_.Write("key.index", good.substr(0, size));
    EXPECT_EQ(KeyIndex::Open(keys_, path_).status().code(), StatusCode::kFailedPrecondition);
    EXPECT_TRUE(Make().ok());
    EXPECT_EQ(folder_.Read("key.index"), good);
  }
  std::string bad = good;
  bad[17] ^= 1;
  folder_.Write("key.index", bad);
  EXPECT_THAT(KeyIndex::Open(keys_, path_).status().ToString(), HasSubstr("damaged"));
}

}  // namespace
}  // namespace penstock::tables
