// SPDX-License-Identifier: Apache-2.0
#include "loading/memory_history.h"

#include <gtest/gtest.h>

namespace penstock {
namespace {

constexpr uint64_t kMegabyte = 1 << 20;
constexpr uint64_t kGigabyte = 1 << 30;

TEST(KeepPlausibleTest, KeepsPlausibleValues) {
  const MeasuredLoad load = KeepPlausible({.bytes = 150, .peak_bytes = 210}, 120, 100);
  EXPECT_EQ(load.estimated_bytes, 120U);
  EXPECT_EQ(load.taken_bytes, 150U);
  EXPECT_EQ(load.extra_bytes, 60U);
}

// Weights that are mapped do not show; nor do those that took memory which was free already.
TEST(KeepPlausibleTest, RaisesAValueToTheSizeOfTheFiles) {
  const MeasuredLoad load = KeepPlausible({.bytes = 7, .peak_bytes = 20}, 120, 100);
  EXPECT_EQ(load.taken_bytes, 100U);
  EXPECT_EQ(load.extra_bytes, 0U);
}

TEST(KeepPlausibleTest, LowersAValueThatNoRuntimeReaches) {
  const MeasuredLoad load =
      KeepPlausible({.bytes = 100 * kGigabyte, .peak_bytes = 200 * kGigabyte}, kGigabyte, 0);
  EXPECT_EQ(load.taken_bytes, 8 * kGigabyte + 256 * kMegabyte);
  EXPECT_EQ(load.extra_bytes, 0U);
  const MeasuredLoad small = KeepPlausible({.bytes = 2 * kGigabyte}, 10, 8);
  EXPECT_EQ(small.taken_bytes, 256 * kMegabyte + 80);
  EXPECT_FALSE(small.extra_bytes.has_value());
  EXPECT_EQ(KeepPlausible({.bytes = UINT64_MAX}, UINT64_MAX, 0).taken_bytes, UINT64_MAX);
}

TEST(MemoryHistoryTest, WithoutAMeasurementTheEstimateStands) {
  const MemoryHistory history;
  const core::ResourceEstimate estimate = history.Estimate("m", "onnx", 100);
  EXPECT_EQ(estimate.ram_bytes, 100U);
  EXPECT_EQ(estimate.load_extra_bytes, 0U);
  EXPECT_FALSE(estimate.is_measured);
}

TEST(MemoryHistoryTest, ScalesLaterEstimatesByTheMeasurement) {
  MemoryHistory history;
  history.Note("m", "onnx", {.estimated_bytes = 100, .taken_bytes = 150, .extra_bytes = 50});
  EXPECT_EQ(history.Estimate("m", "onnx", 100).ram_bytes, 150U);
  EXPECT_EQ(history.Estimate("m", "onnx", 100).load_extra_bytes, 50U);
  EXPECT_EQ(history.Estimate("m", "onnx", 300).ram_bytes, 450U);
  EXPECT_EQ(history.Estimate("m", "", 300).load_extra_bytes, 150U);  // before it is downloaded
  EXPECT_EQ(history.Estimate("m", "tensorflow", 300).ram_bytes, 300U);
  EXPECT_EQ(history.Estimate("other", "onnx", 300).ram_bytes, 300U);
}

TEST(MemoryHistoryTest, WhatNoFactorExplainsDoesNotGrowWithTheFiles) {
  MemoryHistory history;
  history.Note("m", "onnx", {.estimated_bytes = 10, .taken_bytes = 5080});
  EXPECT_EQ(history.Estimate("m", "onnx", 10).ram_bytes, 5080U);
  EXPECT_EQ(history.Estimate("m", "onnx", 1000).ram_bytes, 13000U);
  history.Note("m", "onnx", {.estimated_bytes = 0, .taken_bytes = 50});
  EXPECT_EQ(history.Estimate("m", "onnx", 1000).ram_bytes, 50U);
  history.Note("m", "onnx", {.estimated_bytes = 1, .taken_bytes = 8});
  EXPECT_GT(history.Estimate("m", "onnx", UINT64_MAX).ram_bytes, 1000 * kGigabyte);
}

TEST(MemoryHistoryTest, TheLastMeasurementCounts) {
  MemoryHistory history;
  history.Note("m", "onnx", {.estimated_bytes = 100, .taken_bytes = 700, .extra_bytes = 50});
  history.Note("m", "onnx", {.estimated_bytes = 100, .taken_bytes = 110});
  EXPECT_EQ(history.Estimate("m", "onnx", 100).ram_bytes, 110U);
  EXPECT_EQ(history.Estimate("m", "onnx", 100).load_extra_bytes, 50U);  // nothing newer is known
  history.Note("m", "tensorflow", {.estimated_bytes = 100, .taken_bytes = 120});
  EXPECT_EQ(history.Estimate("m", "tensorflow", 100).load_extra_bytes, 0U);
}

TEST(MemoryHistoryTest, ForgetsModelsThatHaveGone) {
  MemoryHistory history;
  for (const char* const model : {"a", "b"})
    history.Note(model, "onnx", {.estimated_bytes = 100, .taken_bytes = 200});
  history.KeepOnly({"b"});
  EXPECT_EQ(history.Estimate("a", "onnx", 100).ram_bytes, 100U);
  EXPECT_EQ(history.Estimate("b", "onnx", 100).ram_bytes, 200U);
}

}  // namespace
}  // namespace penstock
