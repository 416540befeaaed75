// SPDX-License-Identifier: Apache-2.0
#include "tables/mmap_store.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <future>

#include "tables/table_fixture.h"
#include "tables/table_loader.h"

namespace penstock::tables {
namespace {

using testing::HasSubstr;

class MmapStoreTest : public TableFixture {
 protected:
  static constexpr int kDimension = 64;

  void SetUp() override {
    for (int64_t key = 0; key < 2000; ++key) keys_.push_back(key * 7);
    WriteHps(keys_, kDimension);
    store_ = *MmapStore::Open(folder_.path(), *ReadManifest(folder_.path()), stop_);
  }
  // Finds 300 keys, and one that is missing.
  Status Find() {
    std::vector<int64_t> wanted(keys_.begin() + 100, keys_.begin() + 400);
    wanted[150] = 1;
    Lookup lookup;
    lookup.numbers = wanted;
    return Find(std::move(lookup));
  }
  // The same for a table of strings.
  Status FindStrings() {
    std::vector<std::string> wanted;
    for (int i = 0; i < 300; ++i) wanted.push_back(fmt::format("key {}", i == 150 ? -1 : 100 + i));
    std::vector<StringElement> keys;
    for (const std::string& key : wanted) keys.push_back({key.data(), key.size()});
    Lookup lookup;
    lookup.strings = keys;
    return Find(std::move(lookup));
  }
  // Finds these 300 keys.
  Status Find(Lookup lookup) {
    rows_.assign(found_.size() * kDimension, -1);
    lookup.rows = reinterpret_cast<std::byte*>(rows_.data());
    lookup.found = found_.data();
    Status status = absl::InternalError("no answer");
    store_->Find(lookup, [&](Status answer) { status = std::move(answer); });
    return status;
  }
  void ExpectRows() {
    for (size_t i = 0; i < 300; ++i) {
      ASSERT_EQ(found_[i], i != 150);
      ASSERT_EQ(rows_[i * kDimension + 3], i == 150 ? -1 : static_cast<float>(10 * (100 + i) + 3));
    }
  }
  // Drops what it can of the pages of the files from memory.
  void DropPages() {
    for (const std::string_view name : {"emb_vector", "key.index", "keys.txt", "keys.txt.index"}) {
      const int file = open((folder_ / name).c_str(), O_RDONLY | O_CLOEXEC);
      if (file < 0) continue;  // a table has only some of them
      fsync(file);
      posix_fadvise(file, 0, 0, POSIX_FADV_DONTNEED);
      close(file);
    }
  }

  // Takes the pages of the rows from the memory of this process, and then from that of the machine.
  // Returns false if the file system does not let go of them.
  bool DropRowsInUse() {
    std::ifstream maps("/proc/self/maps");
    for (std::string line; std::getline(maps, line);) {
      if (!line.ends_with("emb_vector")) continue;
      char* at = nullptr;
      const uintptr_t begin = std::strtoull(line.c_str(), &at, 16);
      const uintptr_t end = std::strtoull(at + 1, nullptr, 16);
      madvise(reinterpret_cast<void*>(begin), end - begin, MADV_DONTNEED);
    }
    DropPages();
    const int file = open((folder_ / "emb_vector").c_str(), O_RDONLY | O_CLOEXEC);
    char byte = 0;
    iovec to = {&byte, 1};
    const bool is_gone = preadv2(file, &to, 1, 300 * 256, RWF_NOWAIT) < 0 && errno == EAGAIN;
    close(file);
    return is_gone;
  }

  std::vector<int64_t> keys_;
  std::unique_ptr<MmapStore> store_;
  std::vector<float> rows_;
  std::array<bool, 300> found_ = {};
};

TEST_F(MmapStoreTest, FindsTheSameColdAndWarm) {
  // It starts cold, and is warm after some batches.
  for (int i = 0; i < 50; ++i) {
    ASSERT_TRUE(Find().ok());
    ExpectRows();
  }
}

TEST_F(MmapStoreTest, FindsRowsThatAreOnlyOnTheDisk) {
  DropPages();
  store_ = *MmapStore::Open(folder_.path(), *ReadManifest(folder_.path()), stop_);
  ASSERT_TRUE(Find().ok());
  ExpectRows();
}

TEST_F(MmapStoreTest, FindsStringsThatAreOnlyOnTheDisk) {
  std::string lines;
  for (int row = 0; row < 2000; ++row) lines += fmt::format("key {}\n", row);
  folder_.Write("keys.txt", lines);
  WriteManifest(R"({"key_type": "string", "dimension": 64})");
  store_ = *MmapStore::Open(folder_.path(), *ReadManifest(folder_.path()), stop_);
  store_.reset();
  DropPages();
  store_ = *MmapStore::Open(folder_.path(), *ReadManifest(folder_.path()), stop_);
  EXPECT_TRUE(FindStrings().ok());
  ExpectRows();
}

TEST_F(MmapStoreTest, KeepsHotRowsWhileRequestsWaitForTheDisk) {
  for (const bool keeps : {true, false}) {
    SCOPED_TRACE(keeps);
    WriteHps(keys_, kDimension);
    WriteManifest(fmt::format(R"({{"dimension": 64, "cache_bytes": {}}})", keeps ? 1 << 20 : 0));
    store_ = *MmapStore::Open(folder_.path(), *ReadManifest(folder_.path()), stop_);
    int waits = 0;
    for (int i = 0; i < 200; ++i) {
      waits += DropRowsInUse() ? 1 : 0;
      ASSERT_TRUE(Find().ok());
      ExpectRows();
    }
    if (waits < 100) GTEST_SKIP() << "the file system keeps the pages";
    // Nothing is read of rows that are kept.
    std::fstream file(folder_ / "emb_vector", std::ios::binary | std::ios::in | std::ios::out);
    file << std::string(400 * kDimension * sizeof(float), 0);
    file.close();
    ASSERT_TRUE(Find().ok());
    if (keeps) {
      ExpectRows();
    } else {
      EXPECT_EQ(rows_[3], 0);
    }
  }
}

TEST_F(MmapStoreTest, KeepsHotRowsOfStrings) {
  std::string lines;
  for (int row = 0; row < 2000; ++row) lines += fmt::format("key {}\n", row);
  folder_.Write("keys.txt", lines);
  WriteManifest(R"({"key_type": "string", "dimension": 64, "cache_bytes": 1000000})");
  store_ = *MmapStore::Open(folder_.path(), *ReadManifest(folder_.path()), stop_);
  for (int i = 0; i < 200; ++i) {
    DropRowsInUse();
    ASSERT_TRUE(FindStrings().ok());
    ExpectRows();
  }
}

TEST_F(MmapStoreTest, ATableRunsInlineWhileItsPagesAreInMemory) {
  const std::atomic<int64_t>& inline_keys_max = *store_->inline_keys_max();
  EXPECT_EQ(inline_keys_max, 0);
  for (int i = 0; i < 50; ++i) ASSERT_TRUE(Find().ok());
  EXPECT_EQ(inline_keys_max, 1024);
  if (!DropRowsInUse()) GTEST_SKIP() << "this file system keeps pages in memory";
  ASSERT_TRUE(Find().ok());
  ExpectRows();
  EXPECT_EQ(inline_keys_max, 0);
  for (int i = 0; i < 100; ++i) ASSERT_TRUE(Find().ok());
  EXPECT_EQ(inline_keys_max, 1024);
}

TEST_F(MmapStoreTest, AFileThatGetsShorterBreaksTheVersion) {
  for (int i = 0; i < 50; ++i) ASSERT_TRUE(Find().ok());
  Status reason;
  int reports = 0;
  store_->SetBrokenCallback([&](const Status& status) {
    reason = status;
    ++reports;
  });
  std::filesystem::resize_file(folder_ / "emb_vector", 4096);
  EXPECT_THAT(Find().ToString(), HasSubstr("emb_vector cannot be read any more"));
  EXPECT_EQ(Find().code(), StatusCode::kUnavailable);
  EXPECT_EQ(reports, 1);
  EXPECT_EQ(reason.code(), StatusCode::kUnavailable);
}

// The kernel gives zeros up to the end of the page.
TEST_F(MmapStoreTest, AFileThatLosesAFewBytesBreaksTheVersion) {
  ASSERT_TRUE(Find().ok());
  const auto path = folder_ / "emb_vector";
  std::filesystem::resize_file(path, std::filesystem::file_size(path) - 1);
  EXPECT_THAT(Find().ToString(), HasSubstr("emb_vector cannot be read any more"));
}

TEST_F(MmapStoreTest, AnIndexThatGetsShorterBreaksIt) {
  std::filesystem::resize_file(folder_ / "key.index", 0);
  EXPECT_THAT(Find().ToString(), HasSubstr("key.index cannot be read any more"));
  // Who asks later hears it at once.
  bool is_reported = false;
  store_->SetBrokenCallback([&](const Status&) { is_reported = true; });
  EXPECT_TRUE(is_reported);
}

TEST_F(MmapStoreTest, ComparesChecksumsInTheBackground) {
  WriteManifest(R"({"dimension": 64, "checksums": {"emb_vector": "crc32c:00000000"}})");
  store_ = *MmapStore::Open(folder_.path(), *ReadManifest(folder_.path()), stop_);
  const std::string error = store_->Check(stop_).ToString();
  EXPECT_THAT(error, HasSubstr("emb_vector is damaged: its checksum is crc32c:"));
  std::promise<Status> reported;
  store_->SetBrokenCallback([&](const Status& status) { reported.set_value(status); });
  store_->CheckInBackground();
  EXPECT_EQ(reported.get_future().get().ToString(), error);
  const std::string right = error.substr(error.find("crc32c:"), 15);
  WriteManifest(R"({"dimension": 64, "checksums": {"emb_vector": ")" + right + R"("}})");
  store_ = *MmapStore::Open(folder_.path(), *ReadManifest(folder_.path()), stop_);
  EXPECT_TRUE(store_->Check(stop_).ok());
  DropPages();
  EXPECT_TRUE(store_->Check(stop_).ok());
  stop_ = true;
  EXPECT_EQ(store_->Check(stop_).code(), StatusCode::kCancelled);
}

TEST_F(MmapStoreTest, FindsDamageInTheIndex) {
  EXPECT_TRUE(store_->Check(stop_).ok());
  std::fstream index(folder_ / "key.index", std::ios::binary | std::ios::in | std::ios::out);
  index.seekp(1000);
  index.put('!');
  index.close();
  EXPECT_THAT(store_->Check(stop_).ToString(), HasSubstr("key.index is damaged"));
  // A version that is loaded again gets a new one.
  EXPECT_TRUE(OpenTable(folder_.path(), {}, stop_, TableCheck::kFirst).ok());
  EXPECT_FALSE(store_->Check(stop_).ok());
  store_ = *MmapStore::Open(folder_.path(), *ReadManifest(folder_.path()), stop_);
  EXPECT_TRUE(store_->Check(stop_).ok());
}

}  // namespace
}  // namespace penstock::tables
