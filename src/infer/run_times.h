// SPDX-License-Identifier: Apache-2.0
// Decides from a model's run times whether it may run on an event loop.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>

#include "base/clock.h"
#include "base/thread_slot.h"

namespace penstock {

// Whether the kernel has taken the CPU away from this thread since it asked last; false if it never
// asked.
bool WasPreempted();

struct InlineOptions {
  // A model runs inline (on the event loop) while the 99th percentile of its run time stays under
  // this; 0 = never.
  Duration run_time_max = std::chrono::microseconds(50);
  // One inline run longer than this sends the model back to the pool.
  Duration run_time_limit = std::chrono::milliseconds(1);
  // Runs on the pool before a model may go inline. Each time it is sent back it takes twice as
  // many, up to 16 times as many.
  int after_runs = 100;
  bool (*was_preempted)() = WasPreempted;
};

// The 99th percentile is under the limit if at most one run in a hundred is over it: two counts are
// all that is kept. Each thread counts in a cache line of its own; every so many of its runs it
// adds up those of all and decides. When the sum gets large all counts are halved, so that the past
// fades. On a busy machine a run may take long only because its thread had to wait for the CPU: one
// long inline run of a thread that was preempted is excused between two decisions. Thread-safe.
class RunTimes final {
 public:
  explicit RunTimes(InlineOptions options) : options_(options) {}

  bool MayRunInline() const { return may_run_inline_.load(std::memory_order_relaxed); }

  // Call it after each run with the time for which it occupied its thread.
  void Record(Duration run_time, bool was_inline);

 private:
  struct alignas(64) Cell {
    std::atomic<uint32_t> runs{0};
    std::atomic<uint32_t> slow_runs{0};
    std::atomic<bool> has_excuse{true};  // none was used since the last decision
  };

  bool IsExcused(Cell& cell);
  void Decide();
  void SendBack();

  const InlineOptions options_;
  // Read by every run, written when the decision changes.
  alignas(64) std::atomic<bool> may_run_inline_{false};
  std::atomic<int> patience_{1};  // times after_runs: what it takes to go inline
  std::array<Cell, kThreadSlots> cells_;
};

}  // namespace penstock
