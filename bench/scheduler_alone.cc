// SPDX-License-Identifier: Apache-2.0
// What the scheduler costs without a model: jobs that do nothing, of MODELS models, with WAITING
// jobs in the queue at a time.
//   scheduler_alone [MODELS WAITING SECONDS]
// Prints million jobs per second: of one thread that submits and runs them itself, and of one that
// submits to one that runs. Then the time of a lone job, from one thread to another and back.
#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdlib>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "base/check.h"
#include "schedule/scheduler.h"

namespace penstock::schedule {
namespace {

using Seconds = std::chrono::duration<double>;

struct Settings {
  size_t models = 1;
  size_t waiting = 32;
  double seconds = 1;
};

// Does nothing, and says that it has ended. Thread-safe.
class EmptyJob final : public Job {
 public:
  void Start(Lease&) override {
    has_ended.store(true, std::memory_order_release);
    has_ended.notify_one();
  }
  void Drop() override {}
  std::atomic<bool> has_ended{true};
};

struct Load {
  std::vector<std::shared_ptr<ModelQueue>> queues;
  std::vector<std::unique_ptr<EmptyJob>> jobs;

  Load(Scheduler& scheduler, const Settings& settings) {
    for (size_t i = 0; i < settings.models; ++i)
      queues.push_back(scheduler.QueueOf(fmt::format("m{}", i), false));
    for (size_t i = 0; i < settings.waiting; ++i) jobs.push_back(std::make_unique<EmptyJob>());
  }
  void Submit(size_t at) {
    jobs[at]->has_ended.store(false, std::memory_order_relaxed);
    PENSTOCK_CHECK(queues[at % queues.size()]->Enter(*jobs[at], nullptr) == Admission::kAccepted,
                   "a job is refused");
  }
};

// Calls `round` for the time that is set. Returns million jobs per second.
template <typename Round>
double Measure(const Settings& settings, Round round) {
  const auto start = std::chrono::steady_clock::now();
  uint64_t jobs = 0;
  Seconds time{};
  do {
    for (int i = 0; i < 100; ++i) jobs += round();
    time = std::chrono::steady_clock::now() - start;
  } while (time.count() < settings.seconds);
  return static_cast<double>(jobs) / time.count() / 1e6;
}

void Run(const Settings& settings) {
  {
    Scheduler scheduler({.threads = PoolThreads::kNone});
    Load load(scheduler, settings);
    fmt::print("one thread:   {:.2f} million jobs/s\n", Measure(settings, [&] {
                 for (size_t i = 0; i < load.jobs.size(); ++i) load.Submit(i);
                 return scheduler.RunQueued();
               }));
  }
  Scheduler scheduler({.compute_slots = 1});
  Load load(scheduler, settings);
  fmt::print("two threads:  {:.2f} million jobs/s\n", Measure(settings, [&] {
               for (size_t i = 0; i < load.jobs.size(); ++i) {
                 load.jobs[i]->has_ended.wait(false, std::memory_order_acquire);
                 load.Submit(i);
               }
               return load.jobs.size();
             }));
  for (const auto& job : load.jobs) job->has_ended.wait(false, std::memory_order_acquire);
  const double lone = Measure(settings, [&] {
    load.Submit(0);
    load.jobs[0]->has_ended.wait(false, std::memory_order_acquire);
    return size_t{1};
  });
  fmt::print("a lone job:   {:.2f} us\n", 1 / lone);
}

}  // namespace
}  // namespace penstock::schedule

int main(int argc, char** argv) {
  penstock::schedule::Settings settings;
  if (argc > 1) settings.models = std::max<size_t>(1, std::strtoull(argv[1], nullptr, 10));
  if (argc > 2) settings.waiting = std::max<size_t>(1, std::strtoull(argv[2], nullptr, 10));
  if (argc > 3) settings.seconds = std::strtod(argv[3], nullptr);
  penstock::schedule::Run(settings);
}
