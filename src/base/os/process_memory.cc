// SPDX-License-Identifier: Apache-2.0
#include "base/os/process_memory.h"

#include <fstream>
#include <limits>

namespace penstock {

std::optional<ProcessMemory> ReadProcessMemory(const std::string& root) {
  std::ifstream status(root + "/proc/self/status");
  ProcessMemory memory;
  int found = 0;
  for (std::string field; status >> field;) {
    uint64_t* const bytes = field == "RssAnon:"                           ? &memory.own_bytes
                            : field == "RssFile:" || field == "RssShmem:" ? &memory.file_bytes
                            : field == "VmHWM:"                           ? &memory.peak_bytes
                                                                          : nullptr;
    uint64_t kilobytes = 0;
    if (bytes != nullptr && status >> kilobytes) {
      *bytes += kilobytes * 1024;
      ++found;
    }
    status.ignore(std::numeric_limits<std::streamsize>::max(), '\n');
  }
  // All four, or the sums would be wrong without a sign of it. Kernels before 4.5 lack the Rss
  // fields.
  if (found != 4) return std::nullopt;
  return memory;
}

}  // namespace penstock
