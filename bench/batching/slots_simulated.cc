// SPDX-License-Identifier: Apache-2.0
// How many runs at a time suit machines with 2 to 64 CPUs: simulated, because the project measures
// on two. Prints a Markdown table.
//   slots_simulated
//
// A run needs 10 ms of CPU time. A part of it is serial. In the rest the threads of the runtime
// help that of the run: one fewer than the machine has CPUs, shared by all runs. All threads that
// want to run share the CPUs equally, and a CPU that changes between threads loses kChangeLoss of
// its time. More work waits always, so a slot that is allowed is taken. The limit is the server's
// own: schedule/slot_limit.h.
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <optional>
#include <vector>

#include "schedule/slot_limit.h"

namespace penstock {
namespace {

using schedule::SlotLimit;

constexpr double kRunNs = 10e6;
constexpr double kChangeLoss = 0.03;
constexpr double kSeconds = 60, kWarmUpSeconds = 20;

// What is left of a run, in CPU time.
struct Run {
  double start_ns = 0;
  double serial_ns = 0;
  double parallel_ns = 0;

  // `helpers`: threads of the runtime for each run that is parallel now.
  double threads(double helpers) const { return serial_ns > 0 ? 1 : 1 + helpers; }
  double& left_ns() { return serial_ns > 0 ? serial_ns : parallel_ns; }
};

struct Result {
  double throughput = 0;       // of what the CPUs could do
  double run_ms = 0;           // the mean time of a run
  double threads_per_cpu = 0;  // that want to run, on average
  double slots = 0;            // allowed, on average
};

// `slots`: a fixed number of them; none: SlotLimit decides.
Result Simulate(uint32_t cpus, double parallel_share, double threads,
                std::optional<uint32_t> slots) {
  SlotLimit limit(slots.value_or(cpus), cpus);
  std::vector<Run> runs;
  double now = 0, cpu_time = 0, due = SlotLimit::kInterval;
  double ended = 0, run_time = 0, thread_time = 0, slot_time = 0, measured = 0;
  while (now < kSeconds * 1e9) {
    while (runs.size() < limit.slots())
      runs.push_back({now, kRunNs * (1 - parallel_share), kRunNs * parallel_share});
    const auto parallel =
        std::count_if(runs.begin(), runs.end(), [](const Run& run) { return run.serial_ns <= 0; });
    const double helpers = (threads - 1) / std::max(static_cast<double>(parallel), 1.0);
    double wanted = 0;
    for (const Run& run : runs) wanted += run.threads(helpers);
    const double used = std::min<double>(wanted, cpus);
    const double loss = wanted > cpus ? kChangeLoss : 0;
    const double speed = used / wanted * (1 - loss);  // of a thread
    double step = due - now;
    for (Run& run : runs) step = std::min(step, run.left_ns() / (run.threads(helpers) * speed));
    now += step;
    cpu_time += step * used;
    const bool counts = now > kWarmUpSeconds * 1e9;
    if (counts) {
      thread_time += step * wanted;
      slot_time += step * limit.slots();
      measured += step;
    }
    for (Run& run : runs) {
      double& left = run.left_ns();
      left -= step * run.threads(helpers) * speed;
      if (left < 1) left = 0;
    }
    if (now >= due) {
      due += SlotLimit::kInterval;
      if (!slots)
        limit.Record(static_cast<int64_t>(now), static_cast<int64_t>(cpu_time),
                     static_cast<uint32_t>(runs.size()), /*waits=*/true);
    }
    std::erase_if(runs, [&](const Run& run) {
      const bool ends = run.serial_ns <= 0 && run.parallel_ns <= 0;
      if (ends && counts) {
        ++ended;
        run_time += now - run.start_ns;
      }
      return ends;
    });
  }
  return {.throughput = ended * kRunNs / (measured * cpus),
          .run_ms = run_time / ended / 1e6,
          .threads_per_cpu = thread_time / measured / cpus,
          .slots = slot_time / measured};
}

void PrintTable() {
  struct Policy {
    const char* name;
    bool one_slot, one_thread, adapts;
  };
  constexpr Policy kPolicies[] = {{"one run, all CPUs", true, false, false},
                                  {"a run for each CPU, one thread each", false, true, false},
                                  {"a run for each CPU, all CPUs each", false, false, false},
                                  {"as many runs as fill the CPUs (default)", false, false, true}};
  std::puts(
      "| CPUs | Parallel | Policy | Slots | Throughput | Time of a run | Threads that want a CPU "
      "|");
  std::puts("|---|---|---|---|---|---|---|");
  for (const uint32_t cpus : {2U, 8U, 32U, 64U}) {
    for (const double share : {0.0, 0.8, 0.98}) {
      for (const Policy& policy : kPolicies) {
        const double threads = policy.one_thread ? 1 : cpus;
        const auto slots =
            policy.adapts ? std::nullopt : std::optional(policy.one_slot ? 1U : cpus);
        const Result result = Simulate(cpus, share, threads, slots);
        std::printf("| %u | %.0f %% | %s | %.1f | %.0f %% | %.2f ms | %.2f for each |\n", cpus,
                    100 * share, policy.name, result.slots, 100 * result.throughput, result.run_ms,
                    result.threads_per_cpu);
      }
    }
  }
}

}  // namespace
}  // namespace penstock

int main() { penstock::PrintTable(); }
