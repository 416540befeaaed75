// SPDX-License-Identifier: Apache-2.0
// Decides, from the run times of a model, whether it may run on an event loop.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>

#include "base/clock.h"
#include "base/thread_slot.h"

namespace penstock {

// Whether a request is larger than EngineOptions::inline_request_bytes_max.
enum class RequestSize : uint8_t { kSmall, kLarge };

// True if the kernel has preempted this thread since its last call of this function. False at the
// first call of a thread.
bool WasPreempted();

// When a model is fast enough to run on an event loop. A slow run there delays all connections of
// the loop.
struct InlineOptions {
  // A model runs inline (on the event loop) while the 99th percentile of its run time is below
  // this. 0: never.
  Duration run_time_max = std::chrono::microseconds(50);
  // One inline run that is longer than this sends the model back to the pool.
  Duration run_time_limit = std::chrono::milliseconds(1);
  // The number of runs on the pool before a model may run inline. It doubles each time that the
  // model is sent back, up to 16 times this value.
  int after_runs = 100;
  bool (*was_preempted)() = WasPreempted;
};

// Counts the runs of one model and how many of them were slow. See the top of run_times.cc for how
// it decides. Thread-safe.
class RunTimes final {
 public:
  explicit RunTimes(InlineOptions options) : options_(options) {}

  bool MayRunInline() const { return may_run_inline_.load(std::memory_order_relaxed); }

  // Call it after each run, with the time for which the run occupied its thread.
  void Record(Duration run_time, bool was_inline);

 private:
  // The counts of one thread, so that Record writes to no shared cache line.
  struct alignas(64) Cell {
    std::atomic<uint32_t> runs{0};
    std::atomic<uint32_t> slow_runs{0};
    std::atomic<bool> has_excuse{true};  // no long run was excused since the last decision
  };

  bool IsExcused(Cell& cell);
  void Decide();
  void SendBack();

  const InlineOptions options_;
  // Every run reads this, and it changes rarely: so it has its own cache line.
  alignas(64) std::atomic<bool> may_run_inline_{false};
  std::atomic<int> patience_{1};  // a model goes inline after patience_ * after_runs runs
  std::array<Cell, kThreadSlots> cells_;
};

}  // namespace penstock
