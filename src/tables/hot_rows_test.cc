// SPDX-License-Identifier: Apache-2.0
#include "tables/hot_rows.h"

#include <gmock/gmock.h>

#include <thread>

#include "tables/key_hash.h"
#include "tables/table_fixture.h"

namespace penstock::tables {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

constexpr int64_t kRowBytes = 8;

// A lookup of int64 keys, whose rows are {key, ...}. One thread at a time.
class Request final {
 public:
  explicit Request(std::vector<int64_t> keys)
      : keys_(std::move(keys)), rows(keys_.size(), -1), found_(keys_.size()) {
    for (const int64_t key : keys_) hashes.push_back(HashKey(key));
  }
  Lookup lookup() {
    Lookup lookup;
    lookup.numbers = keys_;
    lookup.rows = reinterpret_cast<std::byte*>(rows.data());
    lookup.found = reinterpret_cast<bool*>(found_.data());
    return lookup;
  }
  // As a store would; it lacks odd keys.
  void Answer() {
    for (size_t i = 0; i < keys_.size(); ++i) {
      found_[i] = keys_[i] % 2 == 0;
      if (found_[i]) rows[i] = keys_[i];
    }
  }
  bool is_found(size_t position) const { return found_[position] != 0; }

 private:
  const std::vector<int64_t> keys_;

 public:
  std::vector<uint64_t> hashes;
  std::vector<int64_t> rows;

 private:
  std::vector<char> found_;
};

StoreInfo Info(KeyType type = KeyType::kInt64) {
  StoreInfo info;
  info.key_type = type;
  info.row_bytes = kRowBytes;
  return info;
}

void Keep(HotRows& hot, const std::vector<int64_t>& keys) {
  Request request(keys);
  request.Answer();
  std::vector<uint32_t> positions(keys.size());
  for (uint32_t i = 0; i < positions.size(); ++i) positions[i] = i;
  hot.Keep(request.lookup(), request.hashes, positions);
}

size_t CountHits(HotRows& hot, const std::vector<int64_t>& keys) {
  Request request(keys);
  return keys.size() - hot.Find(request.lookup(), request.hashes).size();
}

TEST(HotRowsTest, HasRowsAndKnowsWhatIsMissing) {
  const auto hot = HotRows::Make(Info(), 1 << 16).value();
  Request request({0, 4, 5, 6, 4});
  EXPECT_THAT(hot->Find(request.lookup(), request.hashes), ElementsAre(0, 1, 2, 3, 4));
  Keep(*hot, {0, 4, 5});
  EXPECT_THAT(hot->Find(request.lookup(), request.hashes), ElementsAre(3));
  EXPECT_THAT(request.rows, ElementsAre(0, 4, -1, -1, 4));
  EXPECT_TRUE(request.is_found(0) && request.is_found(1) && request.is_found(4));
  EXPECT_FALSE(request.is_found(2));
}

TEST(HotRowsTest, TakesOverOnlyTheRowsOfThePositions) {
  const auto hot = HotRows::Make(Info(), 1 << 16).value();
  Request request({2, 4, 6});
  request.Answer();
  const std::vector<uint32_t> positions = {2};
  hot->Keep(request.lookup(), request.hashes, positions);
  EXPECT_THAT(hot->Find(request.lookup(), request.hashes), ElementsAre(0, 1));
}

TEST(HotRowsTest, TellsTextsApart) {
  const auto hot = HotRows::Make(Info(KeyType::kString), 1 << 16).value();
  const std::vector<std::string> texts = {"red", "", std::string(HotRows::kTextBytesMax, 'x'),
                                          std::string(HotRows::kTextBytesMax + 1, 'x')};
  std::vector<StringElement> elements;
  for (const std::string& text : texts) elements.emplace_back(text.data(), text.size());
  // Somebody may choose keys of equal hashes.
  const std::vector<uint64_t> hashes(texts.size(), 7);
  std::vector<int64_t> rows = {1, 2, 3, 4};
  std::vector<char> found(texts.size(), 1);
  Lookup lookup;
  lookup.strings = elements;
  lookup.rows = reinterpret_cast<std::byte*>(rows.data());
  lookup.found = reinterpret_cast<bool*>(found.data());
  const std::vector<uint32_t> positions = {0, 1, 2, 3};
  hot->Keep(lookup, hashes, positions);
  rows.assign(texts.size(), 0);
  EXPECT_THAT(hot->Find(lookup, hashes), ElementsAre(3));
  EXPECT_THAT(rows, ElementsAre(1, 2, 3, 0));
}

TEST(HotRowsTest, KeepsWhatIsWantedAgain) {
  const auto hot = HotRows::Make(Info(), 1 << 16).value();
  std::vector<int64_t> wanted;
  for (int64_t i = 0; i < 100; ++i) wanted.push_back(2 * i);
  for (int round = 0; round < 3; ++round) {
    Keep(*hot, wanted);
    CountHits(*hot, wanted);
  }
  // Many keys that are wanted once do not take their places.
  for (int64_t first = 1000; first < 101'000; first += 1000) {
    std::vector<int64_t> once(1000);
    for (int64_t i = 0; i < 1000; ++i) once[i] = first + i;
    Keep(*hot, once);
    CountHits(*hot, wanted);
  }
  EXPECT_GE(CountHits(*hot, wanted), 80U);
  // Those that are wanted again and again do.
  std::vector<int64_t> later;
  for (int64_t i = 0; i < 100; ++i) later.push_back(1'000'000 + 2 * i);
  for (int round = 0; round < 50; ++round) {
    Keep(*hot, later);
    CountHits(*hot, later);
  }
  EXPECT_GE(CountHits(*hot, later), 80U);
}

TEST(HotRowsTest, ALittleMemoryIsNone) {
  EXPECT_EQ(HotRows::Make(Info(), 100).value(), nullptr);
  EXPECT_EQ(HotRows::Make(Info(), 0).value(), nullptr);
}

TEST(HotRowsTest, ThreadsGetWholeRows) {
  StoreInfo info = Info();
  const auto hot = HotRows::Make(info, 1 << 12).value();
  std::atomic<int> wrong = 0;
  const auto run = [&](int64_t seed) {
    for (int64_t i = 0; i < 20'000; ++i) {
      const int64_t key = (i * seed) % 97;
      Request request({key});
      if (hot->Find(request.lookup(), request.hashes).empty()) {
        if (request.is_found(0) != (key % 2 == 0)) ++wrong;
        if (request.is_found(0) && request.rows[0] != key) ++wrong;
      } else {
        Keep(*hot, {key});
      }
    }
  };
  std::thread other(run, 31);
  run(17);
  other.join();
  EXPECT_EQ(wrong, 0);
}

}  // namespace
}  // namespace penstock::tables
