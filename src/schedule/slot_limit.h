// SPDX-License-Identifier: Apache-2.0
// How many runs should compute at the same time, by how busy they keep the CPUs. Pure: it has no
// clock and no thread, so that tests run it in virtual time.
#pragma once

#include <cstdint>

namespace penstock::schedule {

// A run of a large model uses many threads of its runtime, a run of a small one only its own. So
// the number of runs that fills the CPUs depends on the models that are asked now. More runs would
// only mean more threads than CPUs: each run would take longer, and fewer requests would share it.
//
// While all allowed slots are taken and work waits, the limit follows the CPU time of the process:
// it grows as soon as CPUs are idle, and shrinks a little now and then while they are not. An
// attempt to shrink that leaves CPUs idle is taken back, and the next one comes later. One thread
// at a time.
class SlotLimit final {
 public:
  // `slots`: the most that it allows, at least 1. `cpus`: what the process may use, above 0.
  SlotLimit(uint32_t slots, double cpus) : slots_max_(slots), cpus_(cpus), slots_(slots) {}

  // The runs that may compute at the same time. Between 1 and `slots`.
  uint32_t slots() const { return slots_; }
  // The least time between two calls of Record, in nanoseconds. The kernel counts the CPU time of a
  // thread that runs in ticks of up to 10 ms, so a shorter time would say little.
  static constexpr int64_t kInterval = 100'000'000;
  // At `now` the process has used the CPU time `cpu`; both in nanoseconds, neither may go back.
  // `taken`: the slots that are taken. `waits`: work waits for a slot.
  void Record(int64_t now, int64_t cpu, uint32_t taken, bool waits);

 private:
  // The share of the CPUs that was used, while the limit was what kept work from starting.
  void RecordBusy(double busy);

  const uint32_t slots_max_;
  const double cpus_;
  uint32_t slots_;
  uint32_t before_ = 0;  // the limit before the attempt to shrink it that goes on. 0: none does
  uint32_t calm_ = 0;    // intervals since the last change
  uint32_t patience_ = kPatienceMin;  // after so many of them the next attempt begins
  int64_t last_now_ = 0;
  int64_t last_cpu_ = 0;
  bool was_full_ = false;  // at the last call

  static constexpr uint32_t kPatienceMin = 5;    // half a second
  static constexpr uint32_t kPatienceMax = 600;  // a minute
};

}  // namespace penstock::schedule
