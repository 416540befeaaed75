// SPDX-License-Identifier: Apache-2.0
// Requests of many threads, with real compute threads.
#include <gtest/gtest.h>

#include <atomic>
#include <thread>

#include "cache/row_cache_fixture.h"

namespace penstock::cache {
namespace {

// What one request of a thread waits for. Thread-safe.
class Wait final {
 public:
  void Set(InferResponse&& response) {
    MutexLock lock(mutex_);
    response_ = std::move(response);
    is_set_ = true;
    changed_.NotifyAll();
  }
  InferResponse Get() {
    MutexLock lock(mutex_);
    while (!is_set_) changed_.Wait(mutex_);
    return std::move(response_);
  }

 private:
  Mutex mutex_;
  CondVar changed_;
  bool is_set_ GUARDED_BY(mutex_) = false;
  InferResponse response_ GUARDED_BY(mutex_);
};

class RowCacheThreadsTest : public RowCacheTest {};

TEST_F(RowCacheThreadsTest, ManyThreadsGetTheirOwnAnswers) {
  schedule::Scheduler scheduler({.compute_slots = 2}, Clock::Real());
  Engine engine({.request_budget = budget_}, manager_, scheduler, Clock::Real());
  std::atomic<int> runs = 0;
  run_ = [&](const InferRequest& request, ResponseCallback done) {
    runs.fetch_add(1);
    done(Compute(request));
  };
  const auto run = [this](const InferRequest& request, ResponseCallback done) {
    run_(request, std::move(done));
  };
  ASSERT_TRUE(ServeFakeModel(manager_, metrics_, "m", [&] {
                return std::make_unique<FakeModel>(info_, run);
              }).ok());
  auto& served = static_cast<ServedModel&>(Served(*manager_.GetHandle("m", std::nullopt)));
  auto batcher = std::make_unique<batch::ModelBatcher>(
      served.info(), batch::BatcherOptions{{"m", {1}}, {.rows_max = 1024}}, metrics_);
  for (uint32_t i = 0; i < info_.signatures.size(); ++i) batcher->TurnOn(i);
  served.SetBatcher(std::move(batcher), /*runs=*/1);
  cache_ = std::make_shared<VersionCache>(
      served.info(),
      VersionCacheOptions{{"m", {1}}, "m 1", {.enabled = true, .memory_bytes = 20'000}},
      RandomMacKey(), /*disk=*/nullptr, metrics_);
  cache_->TurnOn(1);
  served.SetCache(std::make_unique<RowCache>(cache_));

  constexpr int kThreads = 4, kRequests = 400;
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < kRequests; ++i) {
        const auto first = static_cast<float>((i * 7 + t) % 40);
        InferRequest request = Request({{first}, {first + 1}, {first + 2}}, {"a"});
        CancelToken cancel;
        request.cancel = &cancel;
        const ModelHandle handle = *engine.Find({.name = "m", .version = {}, .label = {}});
        Wait wait;
        engine.Run(handle, request, /*may_run_inline=*/i % 2 == 0,
                   [&wait](InferResponse response) { wait.Set(std::move(response)); });
        if (i % 11 == t) cancel.Cancel();
        const InferResponse response = wait.Get();
        if (!response.status.ok()) {
          EXPECT_EQ(response.status.code(), StatusCode::kCancelled) << response.status;
          continue;
        }
        ASSERT_EQ(response.outputs.size(), 1u);
        const auto values = response.outputs[0].tensor.as<float>();
        ASSERT_EQ(values.size(), 3u);
        for (size_t row = 0; row < 3; ++row)
          EXPECT_EQ(values[row], 2 * (first + static_cast<float>(row)));
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_LT(runs.load(), kThreads * kRequests);
}

}  // namespace
}  // namespace penstock::cache
