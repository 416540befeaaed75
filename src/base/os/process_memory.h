// SPDX-License-Identifier: Apache-2.0
// The resident memory of this process, by kind.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace penstock {

// Bytes of one process. Immutable.
struct ProcessMemory {
  uint64_t own_bytes = 0;   // anonymous memory: only the process can free it
  uint64_t file_bytes = 0;  // of mapped files, programs included
  uint64_t peak_bytes = 0;  // the largest sum of both so far
};

// Reads the numbers from the files of a system whose root folder is `root` ("" for this machine).
// Returns none if they cannot be read.
std::optional<ProcessMemory> ReadProcessMemory(const std::string& root);

}  // namespace penstock
