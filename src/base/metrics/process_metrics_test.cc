// SPDX-License-Identifier: Apache-2.0
#include "base/metrics/process_metrics.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "base/os/test_folder.h"

namespace penstock {
namespace {

using testing::HasSubstr;

TEST(ProcessMetricsTest, ReadsTheFieldsForAnyProcessName) {
  const TestFolder root;
  for (const char* fd : {"0", "1", "2"}) root.Write(std::string("proc/self/fd/") + fd);
  root.Write("proc/stat", "cpu 1 2 3\nbtime 1700000000\n");
  root.Write("proc/self/stat",
             "77 (a ) b) S 1 77 77 0 -1 4194560 9 0 0 0 150 50 0 0 20 0 6 0 500 1000000 25 0\n");
  const auto use = ReadProcessUse(root.path());
  ASSERT_TRUE(use);
  const auto ticks = static_cast<double>(sysconf(_SC_CLK_TCK));
  EXPECT_DOUBLE_EQ(use->cpu_seconds, 200 / ticks);
  EXPECT_DOUBLE_EQ(use->start_seconds, 1'700'000'000 + 500 / ticks);
  EXPECT_EQ(use->threads, 6);
  EXPECT_EQ(use->virtual_bytes, 1'000'000u);
  EXPECT_EQ(use->resident_bytes, 25u * static_cast<uint64_t>(sysconf(_SC_PAGESIZE)));
  EXPECT_EQ(use->open_files, 3);
}

TEST(ProcessMetricsTest, ReturnsNothingForMissingOrShortFiles) {
  const TestFolder root;
  EXPECT_FALSE(ReadProcessUse(root.path()));
  root.Write("proc/self/stat", "77 (a) S 1 77");
  EXPECT_FALSE(ReadProcessUse(root.path()));
}

TEST(ProcessMetricsTest, TheMetricsPageIncludesThem) {
  MetricsRegistry metrics;
  AddProcessMetrics(metrics, "1.2.3");
  const std::string text = metrics.Text();
  EXPECT_THAT(text, HasSubstr("# TYPE process_cpu_seconds_total counter\n"));
  EXPECT_THAT(text, HasSubstr("\nprocess_resident_memory_bytes "));
  EXPECT_THAT(text, HasSubstr("\nprocess_threads "));
  EXPECT_THAT(text, HasSubstr("\nprocess_open_fds "));
  EXPECT_THAT(text, HasSubstr("\nprocess_start_time_seconds "));
  EXPECT_THAT(text, HasSubstr("\npenstock_build_info{version=\"1.2.3\"} 1\n"));
}

}  // namespace
}  // namespace penstock
