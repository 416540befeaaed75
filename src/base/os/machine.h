// SPDX-License-Identifier: Apache-2.0
// The CPUs and memory that this process may use. Its cgroup (v1 and v2) and CPU set count, not only
// the hardware.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "base/clock.h"

namespace penstock {

// Usable CPUs, at least 1: the smaller of the CPU set and the cgroup's quota, rounded up.
int UsableCpus();

// The CPU time that all threads of this process have used. The kernel counts it in ticks of up to
// 10 ms for the threads that run now.
Duration ProcessCpuTime();

// Usable memory in bytes: the smallest of the machine's memory, the cgroup's limit, and the limit
// of the process's address space (ulimit -v).
uint64_t UsableMemoryBytes();

// The limit of the process's address space (ulimit -v). UINT64_MAX: none.
uint64_t AddressSpaceBytesMax();

// The tightest limits of a process's cgroup and all groups above it; none = unlimited.
struct CgroupLimits {
  std::optional<double> cpus;
  std::optional<uint64_t> memory_bytes;
};

// Reads the limits from the files of a system whose root folder is `root`: "" for this machine.
// Tests pass a folder with proc/self/cgroup, proc/self/mountinfo and the mounted hierarchies. A
// file that cannot be read or parsed sets no limit.
CgroupLimits ReadCgroupLimits(const std::string& root);

// Reads a file of the kernel, as in /proc. Returns an empty text if it cannot be read.
std::string ReadSystemFile(const std::string& path);

}  // namespace penstock
