// SPDX-License-Identifier: Apache-2.0
#include "base/os/process_memory.h"

#include <gtest/gtest.h>

#include <vector>

#include "base/os/test_folder.h"

namespace penstock {
namespace {

TEST(ProcessMemoryTest, ReadsEachKindOfMemory) {
  const TestFolder root;
  root.Write("proc/self/status",
             "Name:\tRssAnon: 7\nVmHWM:\t    9000 kB\n"
             "RssAnon:\t    5000 kB\nRssFile:\t     300 kB\n"
             "RssShmem:\t      20 kB\nThreads:\t3\n");
  const auto memory = ReadProcessMemory(root.path());
  ASSERT_TRUE(memory.has_value());
  EXPECT_EQ(memory->own_bytes, 5000U * 1024);
  EXPECT_EQ(memory->file_bytes, 320U * 1024);
  EXPECT_EQ(memory->peak_bytes, 9000U * 1024);
}

TEST(ProcessMemoryTest, ReturnsNothingIfAFieldIsMissing) {
  const TestFolder root;
  EXPECT_FALSE(ReadProcessMemory(root.path()).has_value());
  root.Write("proc/self/status", "VmHWM:\t 9000 kB\nRssAnon:\t 5000 kB\n");
  EXPECT_FALSE(ReadProcessMemory(root.path()).has_value());
}

TEST(ProcessMemoryTest, ReadsTheMemoryOfThisProcess) {
  const auto before = ReadProcessMemory("");
  ASSERT_TRUE(before.has_value());
  EXPECT_GE(before->peak_bytes, before->own_bytes);
  constexpr size_t kBytes = 32 << 20;
  const std::vector<char> taken(kBytes, 1);
  const auto after = ReadProcessMemory("");
  EXPECT_GE(after->own_bytes, before->own_bytes + kBytes / 2) << static_cast<int>(taken.back());
}

}  // namespace
}  // namespace penstock
