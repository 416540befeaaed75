// SPDX-License-Identifier: Apache-2.0
#include "net/loop/big_buffer_pool.h"

#include <gtest/gtest.h>

#include <vector>

namespace penstock::net {
namespace {

constexpr size_t kMiB = 1 << 20;
constexpr uint64_t kMuch = uint64_t{1} << 40;

// Takes a mapping and uses all of it.
Mapping TakeUsed(BigBufferPool& pool, size_t size) {
  Mapping mapping = pool.Take(size);
  mapping.resident = size;
  return mapping;
}

TEST(BigBufferPoolTest, MappingsAreUsedAgain) {
  BigBufferPool pool(10 * kMiB, kMuch);
  const Mapping first = TakeUsed(pool, kMiB);
  pool.Give(first, SteadyTime());
  EXPECT_EQ(pool.resident_bytes(), kMiB);
  const Mapping again = pool.Take(kMiB);
  EXPECT_EQ(again.data, first.data);
  EXPECT_EQ(pool.resident_bytes(), 0u);
  pool.Give(again, SteadyTime());
  pool.Trim(SteadyTime::max());
  EXPECT_EQ(pool.resident_bytes(), 0u);
  EXPECT_EQ(pool.reserved_bytes(), 0u);
}

TEST(BigBufferPoolTest, KeepsABoundedAmountOfMemory) {
  BigBufferPool pool(10 * kMiB, kMuch);
  for (int i = 0; i < 8; ++i) {
    const std::vector<Mapping> held = {TakeUsed(pool, 4 * kMiB), TakeUsed(pool, 4 * kMiB)};
    for (const Mapping& each : held) pool.Give(each, SteadyTime());
  }
  EXPECT_LE(pool.resident_bytes(), 10 * kMiB);
}

TEST(BigBufferPoolTest, AllMappingsTogetherReserveABoundedAmount) {
  BigBufferPool pool(10 * kMiB, 100 * kMiB);
  const Mapping first = pool.Take(48 * kMiB);
  EXPECT_FALSE(pool.is_scarce());
  const Mapping second = pool.Take(12 * kMiB);
  EXPECT_TRUE(pool.is_scarce());
  EXPECT_EQ(pool.Take(50 * kMiB).data, nullptr);
  EXPECT_EQ(pool.reserved_bytes(), 60 * kMiB);
  pool.Give(first, SteadyTime());  // has no memory, so it is unmapped
  EXPECT_EQ(pool.reserved_bytes(), 12 * kMiB);
  const Mapping third = pool.Take(80 * kMiB);
  EXPECT_NE(third.data, nullptr);
  pool.Give(second, SteadyTime());
  pool.Give(third, SteadyTime());
  EXPECT_EQ(pool.reserved_bytes(), 0u);
}

TEST(BigBufferPoolTest, KeptMappingsMakeRoomForNewOnes) {
  BigBufferPool pool(100 * kMiB, 100 * kMiB);
  pool.Give(TakeUsed(pool, 40 * kMiB), SteadyTime());
  pool.Give(TakeUsed(pool, 4 * kMiB), SteadyTime());
  EXPECT_EQ(pool.reserved_bytes(), 44 * kMiB);
  const Mapping large = pool.Take(96 * kMiB);
  EXPECT_NE(large.data, nullptr);
  EXPECT_EQ(pool.reserved_bytes(), 100 * kMiB);  // the small one could stay
  pool.Give(large, SteadyTime());
}

TEST(BigBufferPoolTest, AMappingThatTheSystemRefusesIsNotCounted) {
  BigBufferPool pool(kMiB, UINT64_MAX);
  EXPECT_EQ(pool.Take(size_t{1} << 60).data, nullptr);
  EXPECT_EQ(pool.reserved_bytes(), 0u);
}

TEST(BigBufferPoolTest, ReportsWhatIsReserved) {
  MetricsRegistry registry;
  Gauge& gauge = registry.AddGauge("reserved", "");
  BigBufferPool pool(10 * kMiB, kMuch);
  const Mapping mapping = pool.Take(4 * kMiB);
  pool.Report(gauge);
  EXPECT_EQ(gauge.Value(), 4.0 * kMiB);
  pool.Report(gauge);
  EXPECT_EQ(gauge.Value(), 4.0 * kMiB);
  pool.Give(mapping, SteadyTime());
  pool.Report(gauge);
  EXPECT_EQ(gauge.Value(), 0.0);
}

}  // namespace
}  // namespace penstock::net
