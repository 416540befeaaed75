// SPDX-License-Identifier: Apache-2.0
// How a model moves between the pool and the event loop.
//
// Inline runs save the hand-over to another thread, but a slow one delays all connections of its
// loop. The rule is that the 99th percentile must be below run_time_max. That is true if at most
// one run in a hundred reaches it, so two counts are enough: all runs, and slow runs. Each thread
// counts in its own cache line. After a fixed number of its own runs it sums up all threads and
// decides. When the sum reaches kRunsRememberedMax, all counts are halved, so that old runs lose
// weight.
//
// One inline run over run_time_limit sends the model back at once and doubles the number of pool
// runs that it needs to return. Otherwise a model with rare long runs would switch back and forth.
// On a busy machine a run may be long only because its thread waited for the CPU. So each thread is
// excused for one long run between two decisions, if the kernel preempted it meanwhile.
#include "infer/run_times.h"

#include <sys/resource.h>

#include <algorithm>
#include <utility>

namespace penstock {
namespace {

// A decision reads the counts of all threads. A run on the pool costs so much that frequent
// decisions do not matter, and a fast model should move soon. Inline runs are short, so decisions
// are rare.
constexpr uint32_t kRunsPerDecisionOnPool = 10;
constexpr uint32_t kRunsPerDecisionInline = 256;
constexpr uint64_t kRunsRememberedMax = 4096;
constexpr int kPatienceMax = 16;

void Halve(std::atomic<uint32_t>& count) {
  uint32_t value = count.load(std::memory_order_relaxed);
  // If another thread has changed the count meanwhile, the next decision halves it.
  if (value != 0) count.compare_exchange_strong(value, value / 2, std::memory_order_relaxed);
}

}  // namespace

bool WasPreempted() {
  thread_local long seen = -1;  // -1: never asked
  rusage usage = {};
  getrusage(RUSAGE_THREAD, &usage);
  // Switches that the thread did not ask for: the kernel gave its CPU to another thread.
  const long before = std::exchange(seen, usage.ru_nivcsw);
  return before >= 0 && before != usage.ru_nivcsw;
}

void RunTimes::Record(Duration run_time, bool was_inline) {
  Cell& cell = cells_[static_cast<size_t>(ThreadSlot())];
  // Relaxed, here and below: the counts are statistics, and nothing else depends on their order.
  const uint32_t runs = cell.runs.fetch_add(1, std::memory_order_relaxed) + 1;
  if (run_time >= options_.run_time_max) {
    cell.slow_runs.fetch_add(1, std::memory_order_relaxed);
    if (was_inline && run_time > options_.run_time_limit && !IsExcused(cell)) {
      SendBack();
      return;
    }
  }
  const uint32_t interval = was_inline ? kRunsPerDecisionInline : kRunsPerDecisionOnPool;
  if (runs % interval != 0) return;
  if (was_inline) {
    options_.was_preempted();  // forget earlier preemptions: they must not excuse later runs
    cell.has_excuse.store(true, std::memory_order_relaxed);
  }
  Decide();
}

bool RunTimes::IsExcused(Cell& cell) {
  // Ask first, even if there is no excuse left: the question also forgets the preemptions so far.
  return options_.was_preempted() && cell.has_excuse.exchange(false, std::memory_order_relaxed);
}

void RunTimes::Decide() {
  if (options_.run_time_max <= Duration::zero()) return;
  uint64_t runs = 0;
  uint64_t slow_runs = 0;
  for (const Cell& cell : cells_) {
    runs += cell.runs.load(std::memory_order_relaxed);
    slow_runs += cell.slow_runs.load(std::memory_order_relaxed);
  }
  const bool is_fast = slow_runs * 100 <= runs;
  const bool is_inline = MayRunInline();
  const uint64_t runs_needed = static_cast<uint64_t>(options_.after_runs) *
                               static_cast<uint64_t>(patience_.load(std::memory_order_relaxed));
  const bool shall_be_inline = is_fast && (is_inline || runs >= runs_needed);
  // Every run reads this value. A store without a change would still take the cache line from all
  // other CPUs.
  if (shall_be_inline != is_inline) {
    may_run_inline_.store(shall_be_inline, std::memory_order_relaxed);
  }
  if (runs < kRunsRememberedMax) return;
  for (Cell& cell : cells_) {
    Halve(cell.runs);
    Halve(cell.slow_runs);
  }
}

void RunTimes::SendBack() {
  may_run_inline_.store(false, std::memory_order_relaxed);
  const int patience = patience_.load(std::memory_order_relaxed);
  patience_.store(std::min(patience * 2, kPatienceMax), std::memory_order_relaxed);
  for (Cell& cell : cells_) {
    // The model must prove again that it is fast, with runs from now on.
    cell.runs.store(0, std::memory_order_relaxed);
    cell.slow_runs.store(0, std::memory_order_relaxed);
  }
}

}  // namespace penstock
