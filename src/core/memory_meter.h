// SPDX-License-Identifier: Apache-2.0
// Measures by how much loads grow the memory of the process.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <utility>

#include "base/mutex.h"
#include "base/os/process_memory.h"
#include "core/loader.h"

namespace penstock::core {

// Only the process as a whole can be measured. So a load is measured only if it ran alone: nothing
// else that takes or frees much memory ran at any time of the load. The memory that requests took
// meanwhile is included, so the user of the result must bound it. Thread-safe.
class MemoryMeter final {
 public:
  using Read = std::function<std::optional<ProcessMemory>()>;

  // `read` is called on any thread, and by several at the same time. Null: nothing is measured.
  explicit MemoryMeter(Read read) : read_(std::move(read)) {}

  // Call these around work that is not measured: an unload, or a call that may open a runtime.
  void BeginOther() EXCLUDES(mutex_) { Begin(); }
  void EndOther() EXCLUDES(mutex_) { End(); }

  // The readings at the start of a load.
  struct Start {
    uint64_t change = 0;
    std::optional<ProcessMemory> memory;
  };
  Start BeginLoad() EXCLUDES(mutex_);
  // Returns nullopt if the load did not run alone.
  std::optional<MemoryGrowth> EndLoad(const Start& start) EXCLUDES(mutex_);

 private:
  uint64_t Begin() EXCLUDES(mutex_);
  // If nothing else is running, returns the number of the last change before this one.
  std::optional<uint64_t> End() EXCLUDES(mutex_);
  std::optional<ProcessMemory> ReadNow() const { return read_ ? read_() : std::nullopt; }

  const Read read_;
  Mutex mutex_;
  int running_ GUARDED_BY(mutex_) = 0;
  uint64_t changes_ GUARDED_BY(mutex_) = 0;  // how often anything began or ended
};

}  // namespace penstock::core
