// SPDX-License-Identifier: Apache-2.0
// What the row cache costs through the engine, without a network.
//   row_cache_alone [ROUNDS]
// Prints microseconds of CPU, medians of rounds: of a hit of one row, of the hash of its bytes
// alone, and of a miss beyond the same request without the cache.
#include <fmt/format.h>
#include <time.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <memory>
#include <string_view>
#include <vector>

#include "base/check.h"
#include "cache/row_cache.h"
#include "infer/model_fake.h"

namespace penstock::cache {
namespace {

double CpuSeconds() {
  timespec now;
  ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

// The median of `rounds` times of `count` calls, in microseconds for each call.
template <typename Call>
double MedianUs(int rounds, int count, Call call) {
  std::vector<double> times;
  for (int round = 0; round < rounds; ++round) {
    const double start = CpuSeconds();
    for (int i = 0; i < count; ++i) call();
    times.push_back((CpuSeconds() - start) / count * 1e6);
  }
  std::ranges::nth_element(times, times.begin() + rounds / 2);
  return times[static_cast<size_t>(rounds / 2)];
}

// A model that answers each row with one number, as quickly as it can, behind an engine. One
// thread.
class Served final {
 public:
  explicit Served(Shape row) : row_(std::move(row)) {
    ModelInfo info;
    info.platform = "fake";
    info.signatures.push_back({.name = "serving_default",
                               .method_name = "",
                               .inputs = {FakeSpec("x", DType::kFloat32, WithRows(-1))},
                               .outputs = {FakeSpec("y", DType::kFloat32, {-1, 1})}});
    info.traits.answers_in_run = true;
    const auto run = [](const InferRequest& request, ResponseCallback done) {
      InferResponse response;
      const Tensor& x = request.inputs.front().tensor;
      Tensor y = *Tensor::Allocate(DType::kFloat32, {x.shape().dim(0), 1});
      y.mutable_as<float>()[0] = x.as<float>()[0];
      response.outputs.push_back({"y", std::move(y)});
      done(std::move(response));
    };
    PENSTOCK_CHECK(ServeFakeModel(manager_, metrics_, "m",
                                  [&] { return std::make_unique<FakeModel>(info, run); })
                       .ok(),
                   "the model does not load");
    const core::Handle handle = *manager_.GetHandle("m", std::nullopt);
    ServedModel& served = penstock::Served(handle);
    cache_ = std::make_shared<VersionCache>(
        served.info(), VersionCacheOptions{{"m", {1}}, "m 1", {.enabled = true}}, RandomMacKey(),
        /*disk=*/nullptr, metrics_);
    cache_->TurnOn(0);
    served.SetCache(std::make_unique<RowCache>(cache_));
    tensor_ = *Tensor::Allocate(DType::kFloat32, WithRows(1));
    std::ranges::fill(tensor_.mutable_as<float>(), 0.5f);
  }

  // Changes the row.
  void Next() { tensor_.mutable_as<float>()[0] += 1; }
  CacheOutcome Ask(CacheUse use) {
    const ModelHandle handle = *engine_.Find({.name = "m", .version = {}, .label = {}});
    InferRequest request;
    request.cache_use = use;
    request.inputs.push_back({"x", tensor_});
    CacheOutcome outcome = CacheOutcome::kNone;
    bool has_answered = false;
    engine_.Run(handle, request, /*may_run_inline=*/true, [&](InferResponse&& part) {
      PENSTOCK_CHECK(
          part.status.ok() && part.outputs.front().tensor.as<float>()[0] == tensor_.as<float>()[0],
          "the answer is wrong");
      outcome = part.cache;
      has_answered = true;
    });
    if (!has_answered) scheduler_.RunQueued();
    PENSTOCK_CHECK(has_answered, "there is no answer");
    return outcome;
  }
  const Tensor& tensor() const { return tensor_; }

 private:
  Shape WithRows(int64_t rows) const {
    Shape shape{rows};
    for (const int64_t size : row_.dims()) shape.Append(size);
    return shape;
  }

  const Shape row_;
  MetricsRegistry metrics_;
  schedule::Scheduler scheduler_{{.threads = schedule::PoolThreads::kNone}};
  core::Manager manager_{{}};
  // As if each request were small: then one thread does all, and its time is the time of the hit.
  Engine engine_{{.inline_request_bytes_max = uint64_t{1} << 30}, manager_, scheduler_};
  std::shared_ptr<VersionCache> cache_;
  Tensor tensor_;
};

void Measure(std::string_view name, Shape row, int rounds, int count) {
  Served served(std::move(row));
  for (int i = 0; i < 200; ++i) served.Ask(CacheUse::kBypass);  // it becomes cheap
  served.Ask(CacheUse::kNormal);
  const MacKey key = RandomMacKey();
  const Tensor& tensor = served.tensor();
  uint64_t sum = 0;
  const double hash = MedianUs(rounds, count, [&] {
    RowMac mac(key);
    mac.AddBytes(tensor.data(), tensor.bytes());
    sum += mac.Finish().low;
  });
  const double hit = MedianUs(rounds, count, [&] {
    PENSTOCK_CHECK(served.Ask(CacheUse::kNormal) == CacheOutcome::kHit, "it is no hit");
  });
  const double run = MedianUs(rounds, count, [&] {
    served.Next();
    served.Ask(CacheUse::kBypass);
  });
  const double miss = MedianUs(rounds, count, [&] {
    served.Next();
    PENSTOCK_CHECK(served.Ask(CacheUse::kNormal) == CacheOutcome::kMiss, "it is no miss");
  });
  PENSTOCK_CHECK(sum != 0, "no hash");
  fmt::print(
      "{}: hash {:.2f} us, hit {:.2f} us ({:.2f}x the hash), run {:.2f} us, miss {:.2f} us "
      "(+{:.2f} us)\n",
      name, hash, hit, hit / hash, run, miss, miss - run);
}

}  // namespace
}  // namespace penstock::cache

int main(int argc, char** argv) {
  const int rounds = argc > 1 ? std::max(std::atoi(argv[1]), 1) : 21;
  penstock::cache::Measure("row of 4 bytes", {1}, rounds, 2000);
  penstock::cache::Measure("row of 4 KiB", {1024}, rounds, 2000);
  penstock::cache::Measure("row of 224x224x3 floats", {224, 224, 3}, rounds, 100);
}
