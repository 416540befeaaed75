// SPDX-License-Identifier: Apache-2.0
#include "base/os/machine.h"

#include <gtest/gtest.h>

#include "base/os/test_folder.h"

namespace penstock {
namespace {

// A folder that looks like the root of a system.
class MachineTest : public testing::Test {
 protected:
  const TestFolder root_;
};

constexpr char kMounts2[] =
    "24 30 0:22 / /proc rw - proc proc rw\n"
    "35 24 0:30 / /sys/fs/cgroup ro,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate\n";

TEST_F(MachineTest, Version2TakesTheTightestLimitOfTheGroupsAbove) {
  root_.Write("proc/self/mountinfo", kMounts2);
  root_.Write("proc/self/cgroup", "0::/pods/one\n");
  root_.Write("sys/fs/cgroup/pods/one/cpu.max", "max 100000\n");
  root_.Write("sys/fs/cgroup/pods/one/memory.max", "2000000\n");
  root_.Write("sys/fs/cgroup/pods/cpu.max", "150000 100000\n");
  root_.Write("sys/fs/cgroup/pods/memory.max", "max\n");
  const CgroupLimits limits = ReadCgroupLimits(root_.path());
  EXPECT_EQ(limits.cpus, 1.5);
  EXPECT_EQ(limits.memory_bytes, 2'000'000u);
}

TEST_F(MachineTest, Version2InNamespaceReadsTheMountPoint) {
  root_.Write("proc/self/mountinfo", kMounts2);
  root_.Write("proc/self/cgroup", "0::/\n");
  root_.Write("sys/fs/cgroup/cpu.max", "50000 100000\n");
  EXPECT_EQ(ReadCgroupLimits(root_.path()).cpus, 0.5);
}

TEST_F(MachineTest, Version1ReadsEachControllersHierarchy) {
  root_.Write("proc/self/mountinfo",
              "40 24 0:31 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n"
              "41 24 0:32 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n");
  root_.Write("proc/self/cgroup", "5:cpu,cpuacct:/a/b\n4:memory:/a\n3:pids:/a\n");
  root_.Write("sys/fs/cgroup/cpu,cpuacct/a/b/cpu.cfs_quota_us", "-1\n");
  root_.Write("sys/fs/cgroup/cpu,cpuacct/a/b/cpu.cfs_period_us", "100000\n");
  root_.Write("sys/fs/cgroup/cpu,cpuacct/a/cpu.cfs_quota_us", "400000\n");
  root_.Write("sys/fs/cgroup/cpu,cpuacct/a/cpu.cfs_period_us", "100000\n");
  root_.Write("sys/fs/cgroup/memory/a/memory.limit_in_bytes", "1048576\n");
  root_.Write("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");
  const CgroupLimits limits = ReadCgroupLimits(root_.path());
  EXPECT_EQ(limits.cpus, 4.0);
  EXPECT_EQ(limits.memory_bytes, 1'048'576u);
}

TEST_F(MachineTest, Version1InContainerSeesOnlyItsPartOfTheHierarchy) {
  root_.Write("proc/self/mountinfo",
              "40 24 0:31 /docker/abc /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n");
  root_.Write("proc/self/cgroup", "5:cpu:/docker/abc\n");
  root_.Write("sys/fs/cgroup/cpu/cpu.cfs_quota_us", "300000\n");
  root_.Write("sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000\n");
  EXPECT_EQ(ReadCgroupLimits(root_.path()).cpus, 3.0);
}

TEST_F(MachineTest, UnreadableFilesSetNoLimit) {
  EXPECT_FALSE(ReadCgroupLimits(root_.path()).cpus);
  root_.Write("proc/self/mountinfo", std::string("nonsense\n1 - 2\n") + kMounts2);
  root_.Write("proc/self/cgroup", "garbage\n0::/../..\n");
  root_.Write("sys/fs/cgroup/cpu.max", "100000\n");
  root_.Write("sys/fs/cgroup/memory.max", "-5\n");
  const CgroupLimits limits = ReadCgroupLimits(root_.path());
  EXPECT_FALSE(limits.cpus);
  EXPECT_FALSE(limits.memory_bytes);
}

TEST_F(MachineTest, ThisMachineHasCpusAndMemory) {
  EXPECT_GE(UsableCpus(), 1);
  EXPECT_GT(UsableMemoryBytes(), 1u << 20);
  EXPECT_GE(AddressSpaceBytesMax(), UsableMemoryBytes());
}

}  // namespace
}  // namespace penstock
