// SPDX-License-Identifier: Apache-2.0
// What this process may use of the machine: its cgroup (v1 and v2) and CPU set, not what the
// hardware has.
#pragma once

#include <cstdint>

namespace penstock {

// CPUs that may be used, at least 1: the smaller of the CPU set and the cgroup's quota, rounded up.
int UsableCpus();

// Bytes of memory that may be used: the smaller of the machine's memory and the cgroup's limit.
uint64_t UsableMemoryBytes();

}  // namespace penstock
