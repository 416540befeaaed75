// SPDX-License-Identifier: Apache-2.0
// What an ensemble costs beside its models, inside one process and without a network.
//   ensemble_alone ROUNDS
// Prints lines of a name and a figure, one of each in a round:
//   model, one:       CPU time of a request to a cheap model that runs on this thread, and to an
//                     ensemble with that model as its only step, ns
//   pooled, pooled1:  the time of a request to a model that runs in a slot, and to such an
//   ensemble,
//                     us
//   longest, three:   the time of a request to a model that takes 2 ms, and to an ensemble of three
//                     such models that run side by side, us
//   bare, bare3:      the same without the server: threads that are woken, sleep for 2 ms, and wake
//   the
//                     caller with the last of them
//   beyond_longest, beyond_three, beyond_bare, beyond_bare3:
//                     the same, without the longest run of a model in each request: a sleep lasts
//                     longer than it should, and the longest of three more so
#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdlib>
#include <ctime>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "base/check.h"
#include "base/metrics/metrics.h"
#include "core/manager.h"
#include "ensemble/ensemble_loader.h"
#include "infer/engine.h"
#include "infer/served_model.h"

namespace penstock {
namespace {

using std::chrono::microseconds;
using std::chrono::steady_clock;

constexpr microseconds kSlowTime{2000};

// The longest run of a slow model since it was last set to 0, in ns.
std::atomic<int64_t> longest_ns{0};

void NoteRun(int64_t ns) {
  int64_t longest = longest_ns.load();
  while (ns > longest && !longest_ns.compare_exchange_weak(longest, ns)) {
  }
}

void SleepAsModel() {
  const auto start = steady_clock::now();
  std::this_thread::sleep_for(kSlowTime);
  NoteRun(std::chrono::nanoseconds(steady_clock::now() - start).count());
}

TensorSpec Vector(std::string name) {
  TensorSpec spec;
  spec.name = std::move(name);
  spec.dtype = DType::kFloat32;
  spec.shape = Shape{-1};
  return spec;
}

// Gives its input "x" as "y" after some time. Thread-safe.
class Echo final : public Model {
 public:
  explicit Echo(bool is_slow) : is_slow_(is_slow) {
    info_.platform = "echo";
    info_.traits.answers_in_run = true;
    Signature& signature = info_.signatures.emplace_back();
    signature.name = std::string(kDefaultSignatureName);
    signature.inputs = {Vector("x")};
    signature.outputs = {Vector("y")};
  }
  const ModelInfo& info() const override { return info_; }
  void Run(const InferRequest& request, ResponseCallback done) override {
    // Asleep, so that three of them run side by side on any machine.
    if (is_slow_) SleepAsModel();
    InferResponse response;
    response.outputs.push_back({"y", request.inputs[0].tensor});
    done(std::move(response));
  }

 private:
  const bool is_slow_;
  ModelInfo info_;
};

// Makes an Echo. One thread at a time.
class EchoLoader final : public core::Loader {
 public:
  EchoLoader(core::ServableId id, bool is_slow, bool runs_inline, MetricsRegistry& metrics)
      : id_(std::move(id)), is_slow_(is_slow), runs_inline_(runs_inline), metrics_(metrics) {}
  StatusOr<std::unique_ptr<core::Servable>> Load() override {
    InlineOptions options;
    if (!runs_inline_) options.run_time_max = Duration::zero();
    return MakeServedModel(id_, std::make_unique<Echo>(is_slow_), metrics_, options);
  }

 private:
  const core::ServableId id_;
  const bool is_slow_;
  const bool runs_inline_;
  MetricsRegistry& metrics_;
};

// Median time of something, and that without its longest run, in us.
struct Times {
  double all = 0;
  double beyond = 0;
};

double Median(std::vector<double>& values) {
  const auto middle = values.begin() + static_cast<ptrdiff_t>(values.size() / 2);
  std::ranges::nth_element(values, middle);
  return *middle;
}

template <typename Task>
Times MedianTimes(int repeats, Task task) {
  std::vector<double> times, beyond;
  for (int i = 0; i < repeats; ++i) {
    longest_ns = 0;
    const auto start = steady_clock::now();
    task();
    times.push_back(std::chrono::duration<double, std::micro>(steady_clock::now() - start).count());
    beyond.push_back(times.back() - static_cast<double>(longest_ns.load()) / 1e3);
  }
  return {Median(times), Median(beyond)};
}

// Threads that wait, sleep as long as the slow model runs, and tell when the last one is done: the
// least that a request with several steps side by side can take. One caller at a time.
class BareThreads final {
 public:
  explicit BareThreads(int count) : left_(0) {
    for (int i = 0; i < count; ++i) threads_.emplace_back([this] { Serve(); });
  }
  ~BareThreads() {
    stopping_ = true;
    Wake();
    for (std::thread& thread : threads_) thread.join();
  }
  // Wakes all threads, and waits for them.
  void Send() {
    left_ = static_cast<int>(threads_.size());
    Wake();
    for (int left = left_; left > 0; left = left_) left_.wait(left);
  }

 private:
  void Wake() {
    round_.fetch_add(1);
    round_.notify_all();
  }
  void Serve() {
    for (int round = 0;;) {
      round_.wait(round);
      round = round_;
      if (stopping_) return;
      SleepAsModel();
      if (left_.fetch_sub(1) == 1) left_.notify_one();
    }
  }

  std::atomic<int> round_{0};
  std::atomic<int> left_;
  std::atomic<bool> stopping_{false};
  std::vector<std::thread> threads_;
};

// The models, and ensembles of them. One thread at a time.
class Server {
 public:
  Server() {
    Serve("model", /*is_slow=*/false, true);
    Serve("pooled", /*is_slow=*/false, false);
    Serve("longest", /*is_slow=*/true, false);
    ServeEnsemble("one", {"model"});
    ServeEnsemble("pooled1", {"pooled"});
    ServeEnsemble("three", {"longest", "longest", "longest"});
    request_.inputs.push_back({"x", *Tensor::Allocate(DType::kFloat32, {1})});
    for (int i = 0; i < 2000; ++i) Send("model");  // from now on it runs on the calling thread
  }

  // Sends one request, and waits for the answer.
  void Send(std::string_view model) {
    ModelHandle handle = *engine_.Find({.name = model, .version = {}, .label = {}});
    std::atomic<bool> is_answered{false};
    engine_.Run(handle, request_, /*may_run_inline=*/true, [&](InferResponse&& response) {
      PENSTOCK_CHECK(response.status.ok(), "a request failed");
      is_answered.store(true, std::memory_order_release);
      is_answered.notify_one();
    });
    is_answered.wait(false, std::memory_order_acquire);
  }
  // CPU time of this thread for a request, in ns.
  double Cpu(std::string_view model) {
    constexpr int kRequests = 50'000;
    timespec start = {}, end = {};
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &start);
    for (int i = 0; i < kRequests; ++i) Send(model);
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &end);
    return (static_cast<double>(end.tv_sec - start.tv_sec) * 1e9 +
            static_cast<double>(end.tv_nsec - start.tv_nsec)) /
           kRequests;
  }
  Times Time(std::string_view model, int requests) {
    return MedianTimes(requests, [&] { Send(model); });
  }

 private:
  void Serve(const std::string& name, bool is_slow, bool runs_inline) {
    Publish(name, std::make_unique<EchoLoader>(core::ServableId{name, {1}}, is_slow, runs_inline,
                                               metrics_));
  }
  void ServeEnsemble(const std::string& name, const std::vector<std::string>& models) {
    ensemble::Graph graph{.inputs = {"x"}};
    for (size_t i = 0; i < models.size(); ++i) {
      const std::string output = fmt::format("y{}", i);
      graph.outputs.push_back(output);
      graph.steps.push_back({.name = fmt::format("s{}", i),
                             .model = {.name = models[i]},
                             .inputs = {{"x", "x"}},
                             .outputs = {{"y", output}}});
    }
    Publish(name,
            std::make_unique<ensemble::EnsembleLoader>(core::ServableId{name, {1}}, graph, manager_,
                                                       engine_, metrics_, InlineOptions()));
  }
  void Publish(const std::string& name, std::unique_ptr<core::Loader> loader) {
    PENSTOCK_CHECK(manager_.SetModel({.name = name}).ok(), "no model");
    std::vector<core::AspiredVersion> versions;
    versions.push_back({{1}, std::move(loader)});
    manager_.SetAspired(name, std::move(versions));
    manager_.WaitUntilIdle();
    PENSTOCK_CHECK(manager_.GetHandle(name).ok(), "a model was not loaded");
  }

  MetricsRegistry metrics_;
  schedule::Scheduler scheduler_{{.compute_slots = 4}};
  core::Manager manager_;
  Engine engine_{{}, manager_, scheduler_};
  InferRequest request_;
};

void Print(std::string_view name, const Times& times) {
  fmt::print("{0} {1:.2f}\nbeyond_{0} {2:.2f}\n", name, times.all, times.beyond);
}

void Run(int rounds) {
  Server server;
  BareThreads bare(1), bare3(3);
  for (int i = 0; i < rounds; ++i) {
    for (const char* const model : {"model", "one"})
      fmt::print("{} {:.0f}\n", model, server.Cpu(model));
    for (const char* const model : {"pooled", "pooled1"})
      fmt::print("{} {:.2f}\n", model, server.Time(model, 5000).all);
    for (const char* const model : {"longest", "three"}) {
      Print(model, server.Time(model, 101));
    }
    Print("bare", MedianTimes(101, [&] { bare.Send(); }));
    Print("bare3", MedianTimes(101, [&] { bare3.Send(); }));
  }
}

}  // namespace
}  // namespace penstock

int main(int argc, char** argv) { penstock::Run(argc > 1 ? std::max(1, std::atoi(argv[1])) : 1); }
