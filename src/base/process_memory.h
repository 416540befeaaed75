// SPDX-License-Identifier: Apache-2.0
// How much memory this process has in RAM, by its kind.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace penstock {

// Bytes of one process. Immutable.
struct ProcessMemory {
  uint64_t own_bytes = 0;  // that no file backs: only the end of the process, or itself, frees them
  uint64_t file_bytes = 0;  // of files that it maps, programs included
  uint64_t peak_bytes = 0;  // the most that both were together, since it began
};

// Reads them from the files of a system whose root folder is `root` ("" for this one). None if they
// cannot be read.
std::optional<ProcessMemory> ReadProcessMemory(const std::string& root);

}  // namespace penstock
