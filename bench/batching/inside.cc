// SPDX-License-Identifier: Apache-2.0
// Batching without a network: the load comes from the callbacks of the answers.
//   inside model BACKEND_FOLDER VERSION_FOLDER SLOTS ROUNDS SECONDS
//     A closed loop of requests of one row each, against so many threads that call the model in a
//     loop with one number of rows: the best of 1, 2, 4, ... 512. Prints for each round: the rows
//     of the loop, and rows per second of the loop and of the closed loop.
//   inside empty ROUNDS SECONDS
//     Million requests per second of a model that computes nothing, through queue, gather and
//     scatter, on one thread.
//   inside lone ROUNDS SECONDS
//     CPU of a request that is alone, in us: through a plain pool of one thread to a model, and
//     through scheduler and batcher to the same model.
#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "backends/host/backend_host.h"
#include "base/check.h"
#include "base/executor.h"
#include "batch/model_batcher.h"
#include "infer/model_fake.h"

namespace penstock {
namespace {

constexpr int64_t kWaiting = 1024;
constexpr int64_t kLoopRowsMax = 512;
constexpr double kProbeSeconds = 0.3;

double Seconds(clockid_t clock) {
  timespec now{};
  clock_gettime(clock, &now);
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) / 1e9;
}

// A request for the default signature, with `rows` rows of any numbers.
InferRequest MakeRequest(const ModelInfo& info, int64_t rows) {
  InferRequest request;
  for (const TensorSpec& spec : info.FindSignature("")->inputs) {
    std::vector<int64_t> dims(spec.shape.dims().begin(), spec.shape.dims().end());
    dims[0] = rows;
    Tensor tensor = *Tensor::Allocate(spec.dtype, Shape(dims));
    PENSTOCK_CHECK(spec.dtype == DType::kFloat32, "only floats");
    uint32_t number = 1;
    for (float& value : tensor.mutable_as<float>()) {
      number = number * 1664525 + 1013904223;
      value = static_cast<float>(number >> 8) * 0x1p-24F;
    }
    request.inputs.push_back({spec.name, std::move(tensor)});
  }
  return request;
}

// A model behind an engine, with a batcher. One thread at a time.
class Server {
 public:
  Server(FakeModelLoader::MakeFunction make, uint32_t slots)
      : scheduler_({.compute_slots = slots}), engine_({}, manager_, scheduler_) {
    PENSTOCK_CHECK(ServeFakeModel(manager_, metrics_, "m", std::move(make)).ok(), "cannot load");
    handle_.emplace(*engine_.Find({.name = "m", .version = {}, .label = {}}));
    auto& served = Served(*manager_.GetHandle("m", std::nullopt));
    batch::BatcherOptions options;
    options.id = {"m", {1}};
    auto batcher =
        std::make_unique<batch::ModelBatcher>(served.info(), std::move(options), metrics_);
    batcher_ = batcher.get();
    for (uint32_t i = 0; i < served.info().signatures.size(); ++i) batcher->TurnOn(i);
    served.SetBatcher(std::move(batcher), slots);
  }

  Engine& engine() { return engine_; }
  const ModelHandle& handle() const { return *handle_; }
  Model& model() { return Served(*manager_.GetHandle("m", std::nullopt)).model(); }
  int64_t rows_max() const { return batcher_->RowsMax(0); }

 private:
  MetricsRegistry metrics_;
  core::Manager manager_{{}};
  schedule::Scheduler scheduler_;
  Engine engine_;
  std::optional<ModelHandle> handle_;
  batch::ModelBatcher* batcher_ = nullptr;
};

// Keeps kWaiting requests in the engine. Thread-safe.
class ClosedLoop {
 public:
  explicit ClosedLoop(Server& server) : server_(server) {
    const InferRequest request = MakeRequest(server.handle().info(), 1);
    requests_.assign(kWaiting, request);  // they share the tensor
  }

  // Returns the answers per second.
  double Run(double seconds) {
    stopping_ = false;
    under_way_ = kWaiting;
    for (InferRequest& request : requests_) Send(request);
    // The limit of rows grows with the first runs.
    std::this_thread::sleep_for(std::chrono::duration<double>(seconds / 2));
    const uint64_t before = answers_;
    const double start = Seconds(CLOCK_MONOTONIC);
    std::this_thread::sleep_for(std::chrono::duration<double>(seconds));
    const uint64_t count = answers_ - before;
    const double time = Seconds(CLOCK_MONOTONIC) - start;
    stopping_ = true;
    for (int64_t left = under_way_; left > 0; left = under_way_) under_way_.wait(left);
    return static_cast<double>(count) / time;
  }

 private:
  void Send(InferRequest& request) {
    server_.engine().Run(server_.handle(), request, /*may_run_inline=*/false,
                         [this, &request](InferResponse&& part) { Take(request, part); });
  }
  void Take(InferRequest& request, const InferResponse& part) {
    PENSTOCK_CHECK(part.status.ok(), "a request failed");
    answers_.fetch_add(1, std::memory_order_relaxed);
    if (!stopping_.load(std::memory_order_relaxed)) return Send(request);
    if (under_way_.fetch_sub(1) == 1) under_way_.notify_all();
  }

  Server& server_;
  std::vector<InferRequest> requests_;
  std::atomic<uint64_t> answers_{0};
  std::atomic<bool> stopping_{false};
  std::atomic<int64_t> under_way_{0};
};

// Rows per second of `threads` threads that call the model with `rows` rows at a time.
double CallInLoop(Model& model, uint32_t threads, int64_t rows, double seconds) {
  std::atomic<uint64_t> calls{0};
  std::atomic<bool> stopping{false};
  std::vector<std::thread> workers;
  for (uint32_t i = 0; i < threads; ++i) {
    workers.emplace_back([&] {
      const InferRequest request = MakeRequest(model.info(), rows);
      std::atomic<bool> is_answered{false};
      while (!stopping.load(std::memory_order_relaxed)) {
        is_answered.store(false, std::memory_order_relaxed);
        model.Run(request, [&](InferResponse&& part) {
          PENSTOCK_CHECK(part.status.ok(), "a run failed");
          is_answered.store(true, std::memory_order_release);
          is_answered.notify_one();
        });
        is_answered.wait(false, std::memory_order_acquire);
        calls.fetch_add(1, std::memory_order_relaxed);
      }
    });
  }
  std::this_thread::sleep_for(std::chrono::duration<double>(seconds / 4));
  const uint64_t before = calls;
  const double start = Seconds(CLOCK_MONOTONIC);
  std::this_thread::sleep_for(std::chrono::duration<double>(seconds));
  const uint64_t count = calls - before;
  const double time = Seconds(CLOCK_MONOTONIC) - start;
  stopping = true;
  for (std::thread& worker : workers) worker.join();
  return static_cast<double>(count) * static_cast<double>(rows) / time;
}

int MeasureModel(char** arguments) {
  const auto slots = static_cast<uint32_t>(std::strtoul(arguments[2], nullptr, 10));
  const int rounds = std::atoi(arguments[3]);
  const double seconds = std::atof(arguments[4]);
  BackendHostOptions options;
  options.folder = arguments[0];
  options.intra_op_threads = options.inter_op_threads = 1;
  BackendHost backends(std::move(options));
  Server server(
      [&] {
        return backends.Load(arguments[1], {.platform = "", .model_name = "m", .options = {}});
      },
      slots);
  ClosedLoop loop(server);
  int64_t best_rows = 1;
  double best = 0;
  for (int64_t rows = 1; rows <= kLoopRowsMax; rows *= 2) {
    const double rate = CallInLoop(server.model(), slots, rows, kProbeSeconds);
    if (rate > best) best_rows = rows;
    best = std::max(best, rate);
  }
  for (int i = 0; i < rounds; ++i) {
    const double alone = CallInLoop(server.model(), slots, best_rows, seconds);
    const double engine = loop.Run(seconds);
    std::printf("%ld %.0f %.0f %ld\n", static_cast<long>(best_rows), alone, engine,
                static_cast<long>(server.rows_max()));
    std::fflush(stdout);
  }
  std::_Exit(0);  // the runtimes need not be torn down
}

// Answers with its input.
std::unique_ptr<Model> MakeEmptyModel() {
  ModelInfo info = FakeInfo({FakeSpec("x", DType::kFloat32, Shape{-1, 1})});
  info.signatures[0].outputs = {FakeSpec("y", DType::kFloat32, Shape{-1, 1})};
  info.traits.answers_in_run = true;
  return std::make_unique<FakeModel>(std::move(info),
                                     [](const InferRequest& request, ResponseCallback done) {
                                       InferResponse answer;
                                       answer.outputs.push_back({"y", request.inputs[0].tensor});
                                       done(std::move(answer));
                                     });
}

int MeasureEmpty(char** arguments) {
  Server server(MakeEmptyModel, 1);
  ClosedLoop loop(server);
  for (int i = 0; i < std::atoi(arguments[0]); ++i)
    std::printf("%.3f\n", loop.Run(std::atof(arguments[1])) / 1e6);
  return 0;
}

// CPU of the whole process for one call of `send`, which gets a flag to set.
template <typename Send>
double CpuOfLone(double seconds, Send send) {
  uint64_t count = 0;
  const double start = Seconds(CLOCK_PROCESS_CPUTIME_ID);
  const double end = Seconds(CLOCK_MONOTONIC) + seconds;
  std::atomic<bool> is_answered{false};
  while (Seconds(CLOCK_MONOTONIC) < end) {
    is_answered.store(false, std::memory_order_relaxed);
    send(is_answered);
    is_answered.wait(false, std::memory_order_acquire);
    ++count;
  }
  return (Seconds(CLOCK_PROCESS_CPUTIME_ID) - start) / static_cast<double>(count) * 1e6;
}

int MeasureLone(char** arguments) {
  const double seconds = std::atof(arguments[1]);
  Server server(MakeEmptyModel, 1);
  ThreadPool pool({.name = "pool", .threads = 1});
  const InferRequest request = MakeRequest(server.handle().info(), 1);
  const auto run = [&](bool may_run_inline, std::atomic<bool>& is_answered) {
    server.engine().Run(server.handle(), request, may_run_inline, [&](InferResponse&& part) {
      PENSTOCK_CHECK(part.status.ok(), "a request failed");
      is_answered.store(true, std::memory_order_release);
      is_answered.notify_one();
    });
  };
  for (int i = 0; i < std::atoi(arguments[0]); ++i) {
    const double scheduled =
        CpuOfLone(seconds, [&](std::atomic<bool>& answered) { run(false, answered); });
    const double pooled = CpuOfLone(seconds, [&](std::atomic<bool>& answered) {
      PENSTOCK_CHECK(pool.Submit([&] { run(true, answered); }), "the pool is full");
    });
    std::printf("%.3f %.3f\n", pooled, scheduled);
  }
  return 0;
}

}  // namespace
}  // namespace penstock

int main(int argc, char** argv) {
  const std::string what = argc > 1 ? argv[1] : "";
  if (what == "model" && argc == 7) return penstock::MeasureModel(argv + 2);
  if (what == "empty" && argc == 4) return penstock::MeasureEmpty(argv + 2);
  if (what == "lone" && argc == 4) return penstock::MeasureLone(argv + 2);
  return 2;
}
