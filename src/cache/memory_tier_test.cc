// SPDX-License-Identifier: Apache-2.0
#include "cache/memory_tier.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <string>
#include <thread>
#include <vector>

namespace penstock::cache {
namespace {

RowRef Row(float value, int64_t size = 1) {
  Tensor tensor = *Tensor::Allocate(DType::kFloat32, {1, size});
  std::ranges::fill(tensor.mutable_as<float>(), value);
  return CachedRow::Copy(tensor, 0);
}
float ValueOf(const RowRef& row) { return *reinterpret_cast<const float*>(row->data()); }

EntryKey Key(uint64_t number, uint32_t output = 0) {
  return {{number * 0x9E3779B97F4A7C15, number * 0xC2B2AE3D27D4EB4F}, output};
}

constexpr SteadyTime kNow{};

class MemoryTierTest : public ::testing::Test {
 protected:
  MetricsRegistry metrics_;
  Gauge& bytes_ = metrics_.AddGauge("bytes", "");
  Gauge& entries_ = metrics_.AddGauge("entries", "");
  Counter& evictions_ = metrics_.AddCounter("evictions", "");
  const MemoryTier::Metrics all_{bytes_, entries_, evictions_};
};

TEST_F(MemoryTierTest, FindsWhatWasPut) {
  MemoryTier tier(1 << 20, all_);
  EXPECT_FALSE(tier.Find(Key(1), kNow));
  tier.Put(Key(1), Row(1), kNoDeadline);
  tier.Put(Key(1, 1), Row(2), kNoDeadline);
  EXPECT_EQ(ValueOf(tier.Find(Key(1), kNow)), 1);
  EXPECT_EQ(ValueOf(tier.Find(Key(1, 1), kNow)), 2);
  tier.Put(Key(1), Row(3), kNoDeadline);
  EXPECT_EQ(ValueOf(tier.Find(Key(1), kNow)), 3) << "the newer row takes its place";
  EXPECT_EQ(tier.entries(), 2u);
  EXPECT_EQ(entries_.Value(), 2);
  EXPECT_EQ(bytes_.Value(), static_cast<double>(tier.bytes()));
}

TEST_F(MemoryTierTest, NeverHoldsMoreThanItMay) {
  MemoryTier tier(100'000, all_);
  for (uint64_t i = 0; i < 5000; ++i) {
    tier.Put(Key(i), Row(1, static_cast<int64_t>(i % 300)), kNoDeadline);
    ASSERT_LE(tier.bytes(), 100'000u);
  }
  EXPECT_GT(tier.entries(), 20u);
  EXPECT_EQ(evictions_.Value(), 5000 - tier.entries());
}

TEST_F(MemoryTierTest, KeepsWhatIsAskedFor) {
  MemoryTier tier(100'000, all_);
  for (uint64_t i = 0; i < 2000; ++i) {
    tier.Put(Key(i), Row(1), kNoDeadline);
    ASSERT_TRUE(tier.Find(Key(0), kNow)) << "row 0 was dropped after " << i;
  }
  EXPECT_FALSE(tier.Find(Key(1), kNow));
}

TEST_F(MemoryTierTest, LeavesOutRowsThatWouldFillIt) {
  MemoryTier tier(10'000, all_);
  tier.Put(Key(1), Row(1, 1000), kNoDeadline);
  EXPECT_FALSE(tier.Find(Key(1), kNow));
  EXPECT_EQ(tier.bytes(), 0u);
  MemoryTier none(0, all_);
  none.Put(Key(1), Row(1), kNoDeadline);
  EXPECT_FALSE(none.Find(Key(1), kNow));
}

TEST_F(MemoryTierTest, DropsRowsThatAreTooOld) {
  MemoryTier tier(10'000, all_);
  tier.Put(Key(1), Row(1), kNow + std::chrono::seconds(5));
  EXPECT_TRUE(tier.Find(Key(1), kNow + std::chrono::seconds(4)));
  EXPECT_FALSE(tier.Find(Key(1), kNow + std::chrono::seconds(5)));
  EXPECT_EQ(tier.entries(), 0u);
}

TEST_F(MemoryTierTest, ARowOutlivesItsEviction) {
  MemoryTier tier(4'000, all_);
  tier.Put(Key(1), Row(7), kNoDeadline);
  const RowRef kept = tier.Find(Key(1), kNow);
  for (uint64_t i = 2; i < 100; ++i) tier.Put(Key(i), Row(1), kNoDeadline);
  for (uint64_t i = 2; i < 100; ++i) tier.Put(Key(i), Row(1), kNoDeadline);
  EXPECT_FALSE(tier.Find(Key(1), kNow));
  EXPECT_EQ(ValueOf(kept), 7);
}

TEST_F(MemoryTierTest, ManyThreadsMayUseIt) {
  MemoryTier tier(50'000, all_);
  std::vector<std::thread> threads;
  for (uint64_t t = 0; t < 4; ++t) {
    threads.emplace_back([&tier, t] {
      for (uint64_t i = 0; i < 5000; ++i) {
        const uint64_t key = (i * 31 + t) % 500;
        if (const RowRef row = tier.Find(Key(key), kNow)) {
          EXPECT_EQ(ValueOf(row), static_cast<float>(key));
        } else {
          tier.Put(Key(key), Row(static_cast<float>(key)), kNoDeadline);
        }
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_LE(tier.bytes(), 50'000u);
}

TEST(CachedRow, JoinsRowsOfAllKinds) {
  Tensor strings = *Tensor::Allocate(DType::kString, {2, 2});
  const std::string texts[] = {"a", "", std::string("b\0c", 3), std::string(1000, 'd')};
  for (size_t i = 0; i < 4; ++i)
    strings.mutable_as<StringElement>()[i] = {texts[i].data(), texts[i].size()};
  std::vector<RowRef> rows = {CachedRow::Copy(strings, 1), CachedRow::Copy(strings, 0)};
  RequestMemory memory;
  StatusOr<Tensor> joined = JoinRows(rows, memory);
  ASSERT_TRUE(joined.ok());
  const StatusOr<Tensor> single = JoinRows(std::span(rows).first(1), memory);
  ASSERT_TRUE(single.ok());
  rows.clear();
  EXPECT_EQ(joined->shape(), (Shape{2, 2}));
  EXPECT_EQ(joined->strings()[0].view(), texts[2]);
  EXPECT_EQ(joined->strings()[1].view(), texts[3]);
  EXPECT_EQ(joined->strings()[2].view(), texts[0]);
  EXPECT_EQ(joined->strings()[3].view(), texts[1]);
  EXPECT_EQ(single->shape(), (Shape{1, 2}));
  EXPECT_EQ(single->strings()[1].view(), texts[3]);
}

TEST(CachedRow, ASingleRowIsNotCopied) {
  const std::vector<RowRef> rows = {Row(5, 3)};
  RequestMemory memory;
  const StatusOr<Tensor> joined = JoinRows(rows, memory);
  ASSERT_TRUE(joined.ok());
  EXPECT_EQ(joined->data(), rows[0]->data());
  EXPECT_EQ(joined->shape(), (Shape{1, 3}));
}

TEST(CachedRow, RowsOfDifferentShapesDoNotJoin) {
  const std::vector<RowRef> rows = {Row(5, 3), Row(5, 2)};
  RequestMemory memory;
  EXPECT_EQ(JoinRows(rows, memory).status().code(), StatusCode::kFailedPrecondition);
}

}  // namespace
}  // namespace penstock::cache
