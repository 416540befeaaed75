// SPDX-License-Identifier: Apache-2.0
// Measures what loads add to the memory of the process.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <utility>

#include "base/mutex.h"
#include "base/process_memory.h"
#include "core/loader.h"

namespace penstock::core {

// Only the process as a whole can be measured. So a load is measured if it ran alone: nothing else
// that takes or frees much may have run at any time of it. What requests take meanwhile cannot be
// told apart; who uses the result bounds it. Thread-safe.
class MemoryMeter final {
 public:
  using Read = std::function<std::optional<ProcessMemory>()>;

  // `read` may be called on any thread, and by several at a time; null: nothing is measured.
  explicit MemoryMeter(Read read) : read_(std::move(read)) {}

  // Something begins or ends that is not measured: an unload, or what may open a runtime.
  void BeginOther() EXCLUDES(mutex_) { Begin(); }
  void EndOther() EXCLUDES(mutex_) { End(); }

  // What is known when a load begins.
  struct Start {
    uint64_t change = 0;
    std::optional<ProcessMemory> memory;
  };
  Start BeginLoad() EXCLUDES(mutex_);
  // None if the load did not run alone.
  std::optional<MemoryGrowth> EndLoad(const Start& start) EXCLUDES(mutex_);

 private:
  uint64_t Begin() EXCLUDES(mutex_);
  // Returns the number of the last change before, if only what ends now was running.
  std::optional<uint64_t> End() EXCLUDES(mutex_);
  std::optional<ProcessMemory> ReadNow() const { return read_ ? read_() : std::nullopt; }

  const Read read_;
  Mutex mutex_;
  int running_ GUARDED_BY(mutex_) = 0;
  uint64_t changes_ GUARDED_BY(mutex_) = 0;  // how often anything began or ended
};

}  // namespace penstock::core
