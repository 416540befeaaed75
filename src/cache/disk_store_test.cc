// SPDX-License-Identifier: Apache-2.0
#include "cache/disk_store.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <random>
#include <string>
#include <vector>

#include "base/sanitized.h"
#include "cache/row_cache_fixture.h"

namespace penstock::cache {
namespace {

namespace fs = std::filesystem;

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

EntryKey DiskKey(uint64_t number) {
  return {{number * 0x9E3779B97F4A7C15, number * 0xC2B2AE3D27D4EB4F}, 3};
}

// A row whose elements all are `value`.
RowRef DiskRow(float value, int64_t size = 10) {
  Tensor tensor = *Tensor::Allocate(DType::kFloat32, {1, size});
  std::ranges::fill(tensor.mutable_as<float>(), value);
  return CachedRow::Copy(tensor, 0);
}
bool Has(const RowRef& row, float value, size_t size = 10) {
  const auto* const elements = reinterpret_cast<const float*>(row->data());
  return row->size() == size * sizeof(float) &&
         std::all_of(elements, elements + size, [&](float element) { return element == value; });
}

class DiskStoreTest : public ::testing::Test {
 protected:
  void SetUp() override {
    options_.folder = ::testing::TempDir() + "/rows-" + std::to_string(::getpid());
    fs::remove_all(options_.folder);
  }
  void TearDown() override {
    store_ = nullptr;
    fs::remove_all(options_.folder);
  }
  void Open() {
    store_ = nullptr;
    store_ = std::make_unique<DiskStore>(options_, "m", metrics_);
  }
  void PutMany(uint64_t count, int64_t size = 10) {
    for (uint64_t i = 0; i < count; ++i) {
      store_->Put(DiskKey(i), DiskRow(static_cast<float>(i), size));
      if (i % 100 == 99) store_->Flush();
    }
    store_->Flush();
  }
  // Returns how many of the rows are there; all of them must be right.
  size_t CountRight(uint64_t count, size_t size = 10) {
    size_t found = 0;
    for (uint64_t i = 0; i < count; ++i) {
      const RowRef row = store_->Find(DiskKey(i)).row;
      if (!row) continue;
      ++found;
      EXPECT_TRUE(Has(row, static_cast<float>(i), size)) << i;
    }
    return found;
  }

  MetricsRegistry metrics_;
  DiskOptions options_;
  std::unique_ptr<DiskStore> store_;
};

TEST_F(DiskStoreTest, RowsSurviveARestart) {
  Open();
  ASSERT_TRUE(store_->is_on());
  EXPECT_FALSE(store_->MayHave(DiskKey(1)));
  PutMany(1000);
  EXPECT_EQ(CountRight(1000), 1000u);
  EXPECT_TRUE(store_->MayHave(DiskKey(1)));
  const MacKey key = store_->mac_key();
  Open();
  EXPECT_EQ(store_->mac_key(), key);
  EXPECT_THAT(store_->StateJson(), Not(HasSubstr("\"bytes\":0,"))) << "before anything is written";
  EXPECT_EQ(CountRight(1000), 1000u);
  EXPECT_FALSE(store_->Find(DiskKey(5000)).row);
}

TEST_F(DiskStoreTest, KeepsAllTypesAndShapes) {
  Open();
  Tensor strings = *Tensor::Allocate(DType::kString, {1, 2, 2});
  const std::string texts[] = {"a", "", std::string("b\0c", 3), std::string(1000, 'd')};
  for (size_t i = 0; i < 4; ++i)
    strings.mutable_as<StringElement>()[i] = {texts[i].data(), texts[i].size()};
  store_->Put(DiskKey(1), CachedRow::Copy(strings, 0));
  store_->Put(DiskKey(2), CachedRow::Copy(*Tensor::Allocate(DType::kInt64, {1, 0, 3}), 0));
  Tensor scalar = *Tensor::Allocate(DType::kBool, {1});
  scalar.mutable_data()[0] = std::byte{1};
  store_->Put(DiskKey(3), CachedRow::Copy(scalar, 0));
  store_->Flush();
  const RowRef text = store_->Find(DiskKey(1)).row, empty = store_->Find(DiskKey(2)).row,
               flag = store_->Find(DiskKey(3)).row;
  ASSERT_TRUE(text && empty && flag);
  EXPECT_EQ(text->shape(), (Shape{2, 2}));
  for (size_t i = 0; i < 4; ++i) EXPECT_EQ(text->strings()[i].view(), texts[i]);
  EXPECT_EQ(empty->dtype(), DType::kInt64);
  EXPECT_EQ(empty->shape(), (Shape{0, 3}));
  EXPECT_EQ(flag->shape().rank(), 0u);
  EXPECT_EQ(flag->data()[0], std::byte{1});
}

TEST_F(DiskStoreTest, TakesNoMoreRoomThanItMay) {
  options_.bytes_max = 4 << 20;
  Open();
  PutMany(20'000, 500);  // 40 MB
  // Files are removed by a thread of the database, a moment after newer ones are there.
  const auto has_room = [&] {
    uint64_t bytes = 0;
    std::error_code gone;
    for (const auto& file : fs::recursive_directory_iterator(options_.folder)) {
      const uint64_t size = file.is_regular_file(gone) ? file.file_size(gone) : 0;
      if (!gone) bytes += size;
    }
    return bytes <= options_.bytes_max;
  };
  const SteadyTime end = Clock::Real().Now() + std::chrono::seconds(60);
  while (!has_room() && Clock::Real().Now() < end)
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  EXPECT_TRUE(has_room());
  EXPECT_TRUE(store_->is_on());
  const size_t found = CountRight(20'000, 500);
  EXPECT_GT(found, 300u);
  EXPECT_TRUE(store_->Find(DiskKey(19'999)).row) << "the oldest go first";
}

TEST_F(DiskStoreTest, RowsGetTooOld) {
  int64_t now = 1'000'000;
  options_.now = [&now] { return now; };
  options_.ttl = std::chrono::seconds(10);
  Open();
  store_->Put(DiskKey(1), DiskRow(1));
  store_->Flush();
  now += 9;
  const DiskStore::Found found = store_->Find(DiskKey(1));
  EXPECT_TRUE(found.row);
  EXPECT_EQ(found.left, std::chrono::seconds(1));
  now += 1;
  EXPECT_FALSE(store_->Find(DiskKey(1)).row);
  now -= 100;
  EXPECT_FALSE(store_->Find(DiskKey(1)).row)
      << "a clock that is set back must not keep it for longer";
}

TEST_F(DiskStoreTest, TheSecondServerUsesNoDisk) {
  Open();
  DiskStore second(options_, "m", metrics_);
  EXPECT_TRUE(store_->is_on());
  EXPECT_FALSE(second.is_on());
  second.Put(DiskKey(1), DiskRow(1));
  second.Flush();
  EXPECT_FALSE(second.Find(DiskKey(1)).row);
  EXPECT_THAT(second.StateJson(), HasSubstr("\"on\":false"));
}

TEST_F(DiskStoreTest, DamagedFilesNeverGiveWrongRows) {
  size_t rebuilt = 0;
  for (uint32_t seed = 0; seed < 8; ++seed) {
    fs::remove_all(options_.folder);
    Open();
    PutMany(2000, 100);
    Open();
    PutMany(2000, 100);
    store_ = nullptr;
    std::mt19937 random(seed);
    for (const auto& file : fs::recursive_directory_iterator(options_.folder + "/rows")) {
      if (!file.is_regular_file() || file.file_size() == 0) continue;
      // Every other time only the rows are damaged, and not what names their files.
      const std::string ending = file.path().extension();
      if (seed % 2 == 1 && ending != ".sst" && ending != ".log") continue;
      if (seed % 4 == 3 && random() % 2 == 0) {
        fs::resize_file(file.path(), random() % file.file_size());
        continue;
      }
      std::fstream bytes(file.path(), std::ios::in | std::ios::out | std::ios::binary);
      for (int i = 0; i < (seed < 4 ? 1 : 50); ++i) {
        bytes.seekp(static_cast<std::streamoff>(random() % file.file_size()));
        bytes.put(static_cast<char>(random()));
      }
    }
    Open();
    EXPECT_TRUE(store_->is_on());
    const size_t found = CountRight(2000, 100);
    rebuilt += found == 0;
    store_->Flush();
    PutMany(500, 100);
    EXPECT_EQ(CountRight(500, 100), 500u) << "it works on";
  }
  EXPECT_GT(rebuilt, 0u);
}

TEST_F(DiskStoreTest, FilesThatLookLikeADatabaseAreReplaced) {
  fs::create_directories(options_.folder + "/rows");
  for (const char* name : {"CURRENT", "MANIFEST-000001", "000002.sst"})
    std::ofstream(options_.folder + "/rows/" + name) << "not a database\n";
  Open();
  EXPECT_TRUE(store_->is_on());
  PutMany(10);
  EXPECT_EQ(CountRight(10), 10u);
}

TEST_F(DiskStoreTest, ForeignFilesTurnItOffAndStay) {
  fs::create_directories(options_.folder + "/rows");
  const std::string notes = options_.folder + "/rows/notes.txt";
  std::ofstream(notes) << "mine";
  std::ofstream(options_.folder + "/rows/CURRENT") << "not a database\n";
  Open();
  EXPECT_FALSE(store_->is_on());
  EXPECT_TRUE(fs::exists(notes));
  EXPECT_TRUE(fs::exists(options_.folder + "/rows/CURRENT"));
  fs::remove(notes);
  Open();
  EXPECT_TRUE(store_->is_on());
}

TEST_F(DiskStoreTest, NobodyElseMayReadTheRows) {
  fs::create_directories(options_.folder + "/rows");  // as an earlier release has made it
  fs::permissions(options_.folder + "/rows", fs::perms(0755));
  Open();
  PutMany(10);
  EXPECT_EQ(fs::status(options_.folder + "/rows").permissions(), fs::perms(0700));
  EXPECT_EQ(fs::status(options_.folder + "/key").permissions(), fs::perms(0600));
  store_ = nullptr;
  fs::remove_all(options_.folder);
  Open();
  EXPECT_EQ(fs::status(options_.folder).permissions(), fs::perms(0700));
}

TEST_F(DiskStoreTest, ADamagedKeyIsReplacedWithTheRows) {
  Open();
  PutMany(10);
  const MacKey key = store_->mac_key();
  store_ = nullptr;
  std::string file(64, 0);
  std::ifstream(options_.folder + "/key").read(file.data(), 64);
  const std::string changed = std::string(1, static_cast<char>(file[0] + 1)) + file.substr(1);
  for (const std::string& bad : {changed, file + "x", file.substr(0, 63), std::string(48, 'k')}) {
    std::ofstream(options_.folder + "/key") << bad;
    Open();
    EXPECT_TRUE(store_->is_on());
    EXPECT_NE(store_->mac_key(), key);
    EXPECT_EQ(CountRight(10), 0u) << "nobody who writes the folder can know that they are right";
    PutMany(10);
    EXPECT_EQ(CountRight(10), 10u);
  }
}

TEST_F(DiskStoreTest, AFolderThatCannotBeMadeTurnsItOff) {
  fs::create_directories(fs::path(options_.folder).parent_path());
  std::ofstream(options_.folder) << "a file";
  Open();
  EXPECT_FALSE(store_->is_on());
  store_->Put(DiskKey(1), DiskRow(1));
  EXPECT_FALSE(store_->Find(DiskKey(1)).row);
}

// A limit for the sizes of files stands for a disk that is full.
class FullDisk final {
 public:
  explicit FullDisk(uint64_t bytes) {
    ::signal(SIGXFSZ, SIG_IGN);
    EXPECT_EQ(::getrlimit(RLIMIT_FSIZE, &before_), 0);
    const rlimit small{bytes, before_.rlim_max};
    EXPECT_EQ(::setrlimit(RLIMIT_FSIZE, &small), 0);
  }
  ~FullDisk() { ::setrlimit(RLIMIT_FSIZE, &before_); }

 private:
  rlimit before_ = {};
};

TEST_F(DiskStoreTest, AFullDiskTurnsItOffAndTheRowsStay) {
  options_.bytes_max = 64 << 20;
  for (const uint64_t bytes : {1000, 50'000, 300'000, 1'000'000, 1'500'000}) {
    fs::remove_all(options_.folder);
    Open();
    PutMany(10);
    {
      const FullDisk full(bytes);
      for (int i = 0; i < 20 && store_->is_on(); ++i) PutMany(1000, 1000);
    }
    EXPECT_FALSE(store_->is_on()) << bytes;
    EXPECT_FALSE(store_->Find(DiskKey(1)).row);
    store_->Put(DiskKey(1), DiskRow(1));
    store_->Flush();
    Open();
    EXPECT_TRUE(store_->is_on()) << "there is room again";
    for (uint64_t i = 0; i < 1000; ++i) {
      const RowRef row = store_->Find(DiskKey(i)).row;
      EXPECT_TRUE(!row || row->size() == 40 || Has(row, static_cast<float>(i), 1000));
    }
  }
}

TEST_F(DiskStoreTest, AFullDiskAtAStartKeepsTheRows) {
  Open();
  PutMany(1000, 100);
  for (const uint64_t bytes : {0, 10, 100, 1000, 10'000, 100'000}) {
    store_ = nullptr;
    {
      const FullDisk full(bytes);
      Open();
      store_->Flush();
      EXPECT_FALSE(bytes < 100 && store_->is_on());
      store_ = nullptr;
    }
    Open();
    EXPECT_TRUE(store_->is_on());
    EXPECT_EQ(CountRight(1000, 100), 1000u) << bytes;
  }
}

TEST_F(DiskStoreTest, WhatDoesNotFitIntoTheQueueIsDropped) {
  options_.queue_bytes_max = 1000;
  Open();
  store_->Put(DiskKey(1), DiskRow(1, 1000));
  store_->Flush();
  EXPECT_FALSE(store_->Find(DiskKey(1)).row);
  EXPECT_THAT(store_->StateJson(), HasSubstr("\"dropped\":1"));
}

TEST_F(DiskStoreTest, AKilledWriterLeavesOnlyRightRows) {
  if (kIsSanitized) GTEST_SKIP() << "the child of a fork could start no threads";
  for (int round = 0; round < 3; ++round) {
    const pid_t child = ::fork();
    if (child == 0) {
      MetricsRegistry metrics;
      DiskStore store(options_, "m", metrics);
      for (uint64_t i = 0;; ++i)
        store.Put(DiskKey(i % 3000), DiskRow(static_cast<float>(i % 3000)));
    }
    // It is killed at any moment of its writes.
    std::this_thread::sleep_for(std::chrono::milliseconds(150));
    ::kill(child, SIGKILL);
    ::waitpid(child, nullptr, 0);
    Open();
    EXPECT_TRUE(store_->is_on());
    CountRight(3000);
    store_ = nullptr;
  }
}

TEST_F(DiskStoreTest, ModelsWithOneFolderShareItsStore) {
  DiskStores stores(metrics_);
  const auto a = stores.Open(options_, "a"), b = stores.Open(options_, "b");
  EXPECT_EQ(a, b);
  options_.bytes_max = 1 << 20;
  EXPECT_EQ(stores.Open(options_, "a"), a) << "it is in use";
}

TEST_F(DiskStoreTest, AStoreIsOpenedWithNewOptionsWhenNobodyUsesIt) {
  DiskStores stores(metrics_);
  (void)stores.Open(options_, "a");
  options_.bytes_max = 1 << 20;
  const auto store = stores.Open(options_, "a");
  EXPECT_EQ(store->options().bytes_max, options_.bytes_max);
  EXPECT_TRUE(store->is_on());
}

// A cache with a disk tier.
class RowsOnDiskTest : public RowCacheTest {
 protected:
  void SetUp() override {
    options_.folder = ::testing::TempDir() + "/cache-" + std::to_string(::getpid());
    fs::remove_all(options_.folder);
    disk_ = std::make_shared<DiskStore>(options_, "m", metrics_);
  }
  void TearDown() override { fs::remove_all(options_.folder); }

  DiskOptions options_;
};

TEST_F(RowsOnDiskTest, WhatIsNotInMemoryIsRead) {
  Serve({.memory_bytes = 0});
  const Answered& first = Ask(Request({{1}, {2}}));
  EXPECT_EQ(first.cache, CacheOutcome::kMiss);
  disk_->Flush();
  const Answered& second = Send(Request({{2}}));
  EXPECT_EQ(second.answers, 0) << "an event loop does not read from disk";
  scheduler_.RunQueued();
  EXPECT_EQ(second.cache, CacheOutcome::kHit);
  EXPECT_THAT(second.Floats("a"), ElementsAre(4));
  EXPECT_EQ(second.Find("b")->strings()[0].view(), "2.000000,");
  const Answered& partly = Ask(Request({{1}, {3}}));
  EXPECT_EQ(partly.cache, CacheOutcome::kPartial);
  EXPECT_THAT(partly.Floats("a"), ElementsAre(2, 6));
  EXPECT_THAT(seen_, ElementsAre(2, 1));
  EXPECT_THAT(metrics_.Text(),
              HasSubstr(R"(penstock_row_cache_rows_total{model_name="m",model_version="1",)"
                        R"(result="disk_hit"} 6)"));
}

TEST_F(RowsOnDiskTest, RowsOfTheDiskAreKeptInMemory) {
  Serve();
  Ask(Request({{1}}));
  disk_->Flush();
  cache_ = std::make_shared<VersionCache>(info_, VersionCacheOptions{{"m", {1}}, "m 1", {}},
                                          disk_->mac_key(), disk_, metrics_);
  for (uint32_t i = 0; i < info_.signatures.size(); ++i) cache_->TurnOn(i);
  static_cast<ServedModel&>(Served(*manager_.GetHandle("m", std::nullopt)))
      .SetCache(std::make_unique<RowCache>(cache_));
  EXPECT_EQ(Ask(Request({{1}})).cache, CacheOutcome::kHit);
  const Answered& again = Send(Request({{1}}));
  EXPECT_EQ(again.answers, 1) << "it need not be read again";
  EXPECT_THAT(seen_, ElementsAre(1));
}

TEST_F(RowsOnDiskTest, ADiskThatIsOffIsNoFault) {
  const auto second = std::make_shared<DiskStore>(options_, "m", metrics_);
  ASSERT_FALSE(second->is_on());
  disk_ = second;
  Serve({.memory_bytes = 0});
  EXPECT_THAT(Ask(Request({{1}})).Floats("a"), ElementsAre(2));
  EXPECT_EQ(Ask(Request({{1}})).cache, CacheOutcome::kMiss);
}

}  // namespace
}  // namespace penstock::cache
