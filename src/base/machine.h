// SPDX-License-Identifier: Apache-2.0
// What this process may use of the machine: its cgroup (v1 and v2) and CPU set, not what the
// hardware has.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace penstock {

// CPUs that may be used, at least 1: the smaller of the CPU set and the cgroup's quota, rounded up.
int UsableCpus();

// Bytes of memory that may be used: the smallest of the machine's memory, the cgroup's limit, and
// the limit of the process's address space (ulimit -v).
uint64_t UsableMemoryBytes();

// The tightest limits of a process's cgroup and all of the groups above it; none = unlimited.
struct CgroupLimits {
  std::optional<double> cpus;
  std::optional<uint64_t> memory_bytes;
};

// Reads them from the files of a system whose root folder is `root`: "" for this one, a folder with
// proc/self/cgroup, proc/self/mountinfo and the mounted hierarchies for tests. What cannot be read
// or understood limits nothing.
CgroupLimits ReadCgroupLimits(const std::string& root);

// The text of a file in which the kernel tells something; empty if it cannot be read.
std::string ReadSystemFile(const std::string& path);

}  // namespace penstock
