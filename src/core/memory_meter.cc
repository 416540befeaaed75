// SPDX-License-Identifier: Apache-2.0
// Each begin and end of work is a change with a number. A load ran alone if nothing else was
// running when it ended and its own begin was the last change before that. This needs no list of
// what runs, and two numbers are compared under the mutex for each load.
#include "core/memory_meter.h"

#include <algorithm>

#include "base/saturating.h"

namespace penstock::core {

uint64_t MemoryMeter::Begin() {
  MutexLock lock(mutex_);
  ++running_;
  return ++changes_;
}

std::optional<uint64_t> MemoryMeter::End() {
  MutexLock lock(mutex_);
  const bool is_alone = --running_ == 0;
  const uint64_t last_change = changes_++;
  return is_alone ? std::optional(last_change) : std::nullopt;
}

MemoryMeter::Start MemoryMeter::BeginLoad() {
  const uint64_t change = Begin();
  return {change, ReadNow()};
}

std::optional<MemoryGrowth> MemoryMeter::EndLoad(const Start& start) {
  // Before End, so that work that begins right after it is not measured.
  const std::optional<ProcessMemory> after = ReadNow();
  // The load ran alone if its own begin was the last change, and nothing runs now.
  if (End() != start.change || !start.memory || !after) return std::nullopt;
  MemoryGrowth growth{.bytes = SaturatingDifference(after->own_bytes, start.memory->own_bytes)};
  // The system has only one peak, since the process began. If it rose, it was reached during this
  // load. The system does not report how much of the peak was files, so assume as much as now.
  if (after->peak_bytes > start.memory->peak_bytes) {
    const uint64_t own_peak = SaturatingDifference(after->peak_bytes, after->file_bytes);
    growth.peak_bytes =
        std::max(growth.bytes, SaturatingDifference(own_peak, start.memory->own_bytes));
  }
  return growth;
}

}  // namespace penstock::core
