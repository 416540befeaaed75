// SPDX-License-Identifier: Apache-2.0
// What finding a version and running an empty servable costs while versions are published and
// retired all the time: operations per second of CPU time, for each thread.
//   engine_alone ROUNDS THREADS
// Prints lines of: what, threads, whether they share the manager, million operations per CPU second
// of a thread, versions published meanwhile. A round runs every case once, so that a slow moment of
// the machine hits all. Threads that share nothing have a manager each.
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "base/check.h"
#include "base/metrics/metrics.h"
#include "core/manager.h"
#include "infer/engine.h"
#include "infer/served_model.h"

namespace penstock {
namespace {

constexpr auto kCaseTime = std::chrono::milliseconds(300);
constexpr int kBatch = 1024;  // operations between two looks at the clock

// Answers at once, with nothing. Thread-safe.
class EmptyModel final : public Model {
 public:
  EmptyModel() {
    info_.platform = "empty";
    info_.traits.answers_in_run = true;
    info_.signatures.resize(1);
    info_.signatures[0].name = std::string(kDefaultSignatureName);
  }
  const ModelInfo& info() const override { return info_; }
  void Run(const InferRequest&, ResponseCallback done) override { done({}); }

 private:
  ModelInfo info_;
};

// Loads an EmptyModel without any work. One thread at a time.
class EmptyLoader final : public core::Loader {
 public:
  EmptyLoader(core::ServableId id, MetricsRegistry& metrics)
      : id_(std::move(id)), metrics_(metrics) {}
  StatusOr<std::unique_ptr<core::Servable>> Load() override {
    return MakeServedModel(id_, std::make_unique<EmptyModel>(), metrics_, {.after_runs = 1});
  }

 private:
  const core::ServableId id_;
  MetricsRegistry& metrics_;
};

// A manager with one model, whose versions replace each other. Thread-safe but for Publish: one
// thread at a time.
class Server {
 public:
  Server() {
    PENSTOCK_CHECK(manager_.SetModel({.name = "m"}).ok(), "no model");
    Publish();
  }

  // The next version, and waits until the one before it is gone.
  void Publish() {
    ++version_.value;
    std::vector<core::AspiredVersion> versions;
    versions.push_back(
        {version_, std::make_unique<EmptyLoader>(core::ServableId{"m", version_}, metrics_)});
    manager_.SetAspired("m", std::move(versions));
    manager_.WaitUntilIdle();
  }

  void Find() const {
    const StatusOr<core::Handle> handle = manager_.GetHandle("m");
    PENSTOCK_CHECK(handle.ok(), "no version is ready");
  }
  void FindAndRun(const InferRequest& request) {
    const StatusOr<ModelHandle> handle = engine_.Find({.name = "m", .version = {}, .label = {}});
    PENSTOCK_CHECK(handle.ok(), "no version is ready");
    std::atomic<bool> is_answered{false};
    engine_.Run(*handle, request, /*may_run_inline=*/true,
                [&is_answered](const InferResponse& response) {
                  PENSTOCK_CHECK(response.status.ok(), "a run failed");
                  is_answered.store(true, std::memory_order_release);
                });
    // The first runs of a version go through the queue, so another thread may take them along.
    while (!is_answered.load(std::memory_order_acquire)) std::this_thread::yield();
  }

 private:
  MetricsRegistry metrics_;
  core::Manager manager_;
  schedule::Scheduler scheduler_{{.threads = schedule::PoolThreads::kCaller}};
  Engine engine_{{}, manager_, scheduler_};
  core::VersionNumber version_{0};
};

double ThreadCpuSeconds() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) / 1e9;
}

// Million operations per CPU second of this thread, until `stop`.
double Measure(Server& server, bool runs, const std::atomic<bool>& stop) {
  const InferRequest request;
  uint64_t operations = 0;
  const double start = ThreadCpuSeconds();
  for (; !stop.load(std::memory_order_relaxed); operations += kBatch) {
    for (int i = 0; i < kBatch; ++i) {
      if (runs) {
        server.FindAndRun(request);
      } else {
        server.Find();
      }
    }
  }
  return static_cast<double>(operations) / (ThreadCpuSeconds() - start) / 1e6;
}

// Runs `threads` threads on `servers`, one each or all on the first, while another thread publishes
// versions in all of them. Prints a line.
void RunCase(std::vector<std::unique_ptr<Server>>& servers, bool runs, int threads, bool shared) {
  std::atomic<bool> stop{false};
  std::vector<double> rates(static_cast<size_t>(threads));
  std::vector<std::thread> workers;
  for (size_t i = 0; i < rates.size(); ++i) {
    Server& server = *servers[shared ? 0 : i];
    workers.emplace_back([&, i] { rates[i] = Measure(server, runs, stop); });
  }
  int published = 0;
  const auto end = std::chrono::steady_clock::now() + kCaseTime;
  for (; std::chrono::steady_clock::now() < end; ++published) {
    servers[shared ? 0 : static_cast<size_t>(published % threads)]->Publish();
  }
  stop = true;
  for (std::thread& worker : workers) worker.join();
  double sum = 0;
  for (const double rate : rates) sum += rate;
  std::printf("%s %d %s %.3f %d\n", runs ? "run" : "find", threads, shared ? "shared" : "own",
              sum / threads, published);
}

}  // namespace
}  // namespace penstock

int main(int argc, char** argv) {
  if (argc != 3) return 2;
  const int rounds = std::atoi(argv[1]);
  const int threads = std::atoi(argv[2]);
  std::vector<std::unique_ptr<penstock::Server>> servers;
  for (int i = 0; i < threads; ++i) servers.push_back(std::make_unique<penstock::Server>());
  for (int i = 0; i < rounds; ++i) {
    for (const bool runs : {false, true}) {
      penstock::RunCase(servers, runs, 1, true);
      penstock::RunCase(servers, runs, threads, true);
      penstock::RunCase(servers, runs, threads, false);
    }
  }
  return 0;
}
