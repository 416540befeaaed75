// SPDX-License-Identifier: Apache-2.0
#include "core/memory_meter.h"

#include <gtest/gtest.h>

namespace penstock::core {
namespace {

// One thread.
class MemoryMeterTest : public ::testing::Test {
 protected:
  ProcessMemory memory_{.own_bytes = 100, .file_bytes = 50, .peak_bytes = 150};
  MemoryMeter meter_{[this] { return std::optional(memory_); }};
};

TEST_F(MemoryMeterTest, LoadThatRunsAloneIsMeasured) {
  const auto start = meter_.BeginLoad();
  memory_ = {.own_bytes = 170, .file_bytes = 60, .peak_bytes = 290};
  const auto growth = meter_.EndLoad(start);
  ASSERT_TRUE(growth.has_value());
  EXPECT_EQ(growth->bytes, 70U);
  EXPECT_EQ(growth->peak_bytes, 130U);  // 290, of which 60 are files and 100 were there
}

TEST_F(MemoryMeterTest, PeakBeforeTheLoadDoesNotCount) {
  memory_.peak_bytes = 1000;
  const auto start = meter_.BeginLoad();
  memory_.own_bytes = 120;
  EXPECT_EQ(meter_.EndLoad(start)->bytes, 20U);
  EXPECT_EQ(meter_.EndLoad(meter_.BeginLoad())->peak_bytes, 0U);
}

TEST_F(MemoryMeterTest, PeakIsNotBelowTheGrowth) {
  const auto start = meter_.BeginLoad();
  memory_ = {.own_bytes = 170, .file_bytes = 90, .peak_bytes = 240};
  EXPECT_EQ(meter_.EndLoad(start)->peak_bytes, 70U);
}

TEST_F(MemoryMeterTest, ShrinkingMemoryCountsAsNoGrowth) {
  const auto start = meter_.BeginLoad();
  memory_.own_bytes = 10;
  EXPECT_EQ(meter_.EndLoad(start)->bytes, 0U);
}

TEST_F(MemoryMeterTest, LoadThatOverlapsAnotherIsNotMeasured) {
  const auto first = meter_.BeginLoad();
  const auto second = meter_.BeginLoad();
  EXPECT_FALSE(meter_.EndLoad(first).has_value());
  EXPECT_FALSE(meter_.EndLoad(second).has_value());
  EXPECT_TRUE(meter_.EndLoad(meter_.BeginLoad()).has_value());
}

TEST_F(MemoryMeterTest, LoadThatOverlapsAnUnloadIsNotMeasured) {
  meter_.BeginOther();  // before, and ends within
  auto load = meter_.BeginLoad();
  meter_.EndOther();
  EXPECT_FALSE(meter_.EndLoad(load).has_value());
  load = meter_.BeginLoad();  // within
  meter_.BeginOther();
  meter_.EndOther();
  EXPECT_FALSE(meter_.EndLoad(load).has_value());
  load = meter_.BeginLoad();  // begins within, and goes on
  meter_.BeginOther();
  EXPECT_FALSE(meter_.EndLoad(load).has_value());
  load = meter_.BeginLoad();  // all the time
  EXPECT_FALSE(meter_.EndLoad(load).has_value());
  meter_.EndOther();
  EXPECT_TRUE(meter_.EndLoad(meter_.BeginLoad()).has_value());
}

TEST_F(MemoryMeterTest, LoadIsNotMeasuredWithoutAReader) {
  MemoryMeter without_reader(nullptr);
  EXPECT_FALSE(without_reader.EndLoad(without_reader.BeginLoad()).has_value());
  MemoryMeter failing([] { return std::optional<ProcessMemory>(); });
  EXPECT_FALSE(failing.EndLoad(failing.BeginLoad()).has_value());
}

}  // namespace
}  // namespace penstock::core
