// SPDX-License-Identifier: Apache-2.0
#include "infer/engine.h"

#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <thread>
#include <vector>

#include "infer/model_fake.h"

namespace penstock {
namespace {

using std::chrono::microseconds;

class EngineTest : public ::testing::Test {
 protected:
  EngineTest() {
    info_.traits.answers_in_run = true;
    request_.inputs.push_back({"x", *Tensor::Allocate(DType::kFloat32, {1})});
  }

  // A model whose runs take `run_time_` of fake time.
  void Serve() {
    ASSERT_TRUE(ServeFakeModel(manager_, metrics_, "m", [this] {
                  return std::make_unique<FakeModel>(
                      info_, [this](const InferRequest&, ResponseCallback done) {
                        ++runs_;
                        clock_.Advance(run_time_);
                        done({});
                      });
                }).ok());
    handle_.emplace(*engine_.Find({.name = "m", .version = {}, .label = {}}));
  }
  // A model "late" that answers when the test calls `pending`, which the last run has set.
  void ServeLate(ResponseCallback& pending) {
    ASSERT_TRUE(ServeFakeModel(manager_, metrics_, "late", [&] {
                  return std::make_unique<FakeModel>(
                      info_, [&pending](const InferRequest&, ResponseCallback done) {
                        pending = std::move(done);
                      });
                }).ok());
  }
  Status Run(bool may_run_inline = true) {
    std::optional<Status> status;
    engine_.Run(*handle_, request_, may_run_inline,
                [&](InferResponse response) { status = response.status; });
    submitted_ += scheduler_.RunQueued();
    EXPECT_TRUE(status.has_value());
    return status.value_or(absl::UnknownError("no answer"));
  }
  // Runs it until it may run inline.
  void WarmUp() {
    for (int i = 0; i < 100; ++i) ASSERT_TRUE(Run().ok());
    ASSERT_EQ(submitted_, 100U);
  }
  // Whether the next run goes to the pool.
  bool NextRunsOnPool(bool may_run_inline = true) {
    const size_t before = submitted_;
    EXPECT_TRUE(Run(may_run_inline).ok());
    return submitted_ > before;
  }

  FakeClock clock_;
  MetricsRegistry metrics_;
  schedule::Scheduler scheduler_{{.queue_requests_max = 4, .threads = schedule::PoolThreads::kNone},
                                 clock_};
  size_t submitted_ = 0;
  core::Manager manager_;
  Engine engine_{{}, manager_, scheduler_, clock_};
  ModelInfo info_ = FakeInfo({FakeInput("x", DType::kFloat32)});
  Duration run_time_ = microseconds(10);
  int runs_ = 0;
  InferRequest request_;
  std::optional<ModelHandle> handle_;
};

TEST_F(EngineTest, Find) {
  Serve();
  ASSERT_TRUE(manager_.SetModel({.name = "m", .labels = {{"stable", {1}}}}).ok());
  const auto find = [&](ModelSelector selector) { return engine_.Find(selector).status(); };
  EXPECT_TRUE(find({.name = "m", .version = {}, .label = {}}).ok());
  EXPECT_TRUE(find({.name = "m", .version = core::VersionNumber{1}, .label = {}}).ok());
  EXPECT_TRUE(find({.name = "m", .version = {}, .label = "stable"}).ok());
  EXPECT_EQ(find({.name = "", .version = {}, .label = {}}),
            absl::InvalidArgumentError("ModelSpec has no name specified."));
  EXPECT_EQ(find({.name = "m", .version = core::VersionNumber{2}, .label = {}}),
            absl::NotFoundError(
                "Servable not found for request: Specific(m, 2): the model has version 1"));
  EXPECT_EQ(find({.name = "n", .version = {}, .label = {}}).code(), StatusCode::kNotFound);
  EXPECT_EQ(find({.name = "m", .version = {}, .label = "beta"}).code(),
            StatusCode::kInvalidArgument);
  EXPECT_EQ(handle_->id().ToString(), "m version 1");
  EXPECT_EQ(handle_->info().platform, "fake");
}

TEST_F(EngineTest, CheapModelGoesInlineAndComesBackAfterALongRun) {
  Serve();
  WarmUp();
  EXPECT_FALSE(NextRunsOnPool());
  EXPECT_TRUE(NextRunsOnPool(/*may_run_inline=*/false));
  run_time_ = microseconds(1500);
  EXPECT_FALSE(NextRunsOnPool());
  run_time_ = microseconds(10);
  EXPECT_TRUE(NextRunsOnPool());
}

// Such as a table, whose pages are in memory or not.
TEST_F(EngineTest, AModelMayKnowItselfWhenItsRunsAreShort) {
  std::atomic<int64_t> elements_max = 2;
  info_.traits.inline_elements_max = &elements_max;
  run_time_ = microseconds(80);
  Serve();
  EXPECT_FALSE(NextRunsOnPool());
  EXPECT_TRUE(NextRunsOnPool(/*may_run_inline=*/false));
  request_.inputs[0].tensor = *Tensor::Allocate(DType::kFloat32, {2});
  EXPECT_FALSE(NextRunsOnPool());
  request_.inputs[0].tensor = *Tensor::Allocate(DType::kFloat32, {3});
  EXPECT_TRUE(NextRunsOnPool());
  request_.inputs[0].tensor = *Tensor::Allocate(DType::kFloat32, {1});
  elements_max = 0;
  EXPECT_TRUE(NextRunsOnPool());
  elements_max = 1;
  EXPECT_FALSE(NextRunsOnPool());
  // A large request is none for an event loop, whatever the model says.
  elements_max = 1'000'000;
  request_.inputs[0].tensor = *Tensor::Allocate(DType::kFloat32, {100'000});
  EXPECT_TRUE(NextRunsOnPool());
}

TEST_F(EngineTest, NoModelKnowsThatItsRunsAreShortIfNoneMayRunInline) {
  const std::atomic<int64_t> elements_max = 100;
  info_.traits.inline_elements_max = &elements_max;
  const auto make = [this] { return std::make_unique<FakeModel>(info_, nullptr); };
  const ServedModel usual({"m", {1}}, make(), metrics_, {});
  EXPECT_EQ(usual.inline_elements_max(), &elements_max);
  const ServedModel never({"m", {2}}, make(), metrics_, {.run_time_max = Duration::zero()});
  EXPECT_EQ(never.inline_elements_max(), nullptr);
}

TEST_F(EngineTest, SlowModelStaysOnThePool) {
  run_time_ = microseconds(80);
  Serve();
  for (int i = 0; i < 1000; ++i) ASSERT_TRUE(NextRunsOnPool());
}

TEST_F(EngineTest, ModelThatMayBlockStaysOnThePool) {
  info_.traits.may_block = true;
  Serve();
  WarmUp();
  EXPECT_TRUE(NextRunsOnPool());
}

TEST_F(EngineTest, DeadlineThatNeedsThePool) {
  info_.traits.deadline_needs_pool = true;
  Serve();
  WarmUp();
  EXPECT_FALSE(NextRunsOnPool());
  request_.deadline = clock_.Now() + std::chrono::seconds(1);
  EXPECT_TRUE(NextRunsOnPool());
}

TEST_F(EngineTest, LargeRequestRunsOnThePool) {
  Serve();
  WarmUp();
  request_.inputs[0].tensor = *Tensor::Allocate(DType::kFloat32, {16 * 1024});
  EXPECT_FALSE(NextRunsOnPool());
  request_.inputs[0].tensor = *Tensor::Allocate(DType::kFloat32, {16 * 1024 + 1});
  EXPECT_TRUE(NextRunsOnPool());
}

TEST_F(EngineTest, AModelMustProveThatItIsFastForLargeRequests) {
  Serve();
  WarmUp();
  const Tensor small = request_.inputs[0].tensor;
  request_.inputs[0].tensor = *Tensor::Allocate(DType::kFloat32, {100'000});
  for (int i = 0; i < 100; ++i) EXPECT_TRUE(NextRunsOnPool()) << i;
  EXPECT_FALSE(NextRunsOnPool());
  // A large one that is slow says nothing about small ones.
  run_time_ = microseconds(1500);
  EXPECT_FALSE(NextRunsOnPool());
  run_time_ = microseconds(10);
  EXPECT_TRUE(NextRunsOnPool());
  request_.inputs[0].tensor = small;
  EXPECT_FALSE(NextRunsOnPool());
}

TEST_F(EngineTest, LongStringsCountAsLargeRequest) {
  info_.traits.any_signature = true;
  Serve();
  WarmUp();
  Tensor strings = *Tensor::Allocate(DType::kString, {1});
  const std::string text(100'000, 's');
  strings.mutable_as<StringElement>()[0] = {text.data(), text.size()};
  request_.inputs[0].tensor = strings;
  EXPECT_TRUE(NextRunsOnPool());
}

TEST_F(EngineTest, RequestIsCheckedBeforeTheModelRuns) {
  Serve();
  request_.signature_name = "other";
  EXPECT_EQ(Run(), absl::FailedPreconditionError("Serving signature key \"other\" not found. The "
                                                 "model has {\"serving_default\"}."));
  request_.signature_name = "";
  request_.inputs[0].name = "q";
  EXPECT_EQ(Run().code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(runs_, 0);
  EXPECT_EQ(submitted_, 0U);
}

TEST_F(EngineTest, PassedDeadlineAndCancelStopItInline) {
  Serve();
  WarmUp();
  const int before = runs_;
  request_.deadline = clock_.Now();
  EXPECT_EQ(Run().code(), StatusCode::kDeadlineExceeded);
  request_.deadline = clock_.Now() + microseconds(1);
  EXPECT_TRUE(Run().ok());
  CancelToken cancel;
  request_.cancel = &cancel;
  request_.deadline = kNoDeadline;
  EXPECT_TRUE(Run().ok());
  cancel.Cancel();
  EXPECT_EQ(Run().code(), StatusCode::kCancelled);
  EXPECT_EQ(runs_, before + 2);
  EXPECT_EQ(submitted_, 100U);
}

TEST_F(EngineTest, DeadlineThatPassesInTheQueue) {
  Serve();
  request_.deadline = clock_.Now() + microseconds(100);
  Status status;
  engine_.Run(*handle_, request_, true, [&](InferResponse response) { status = response.status; });
  clock_.Advance(microseconds(100));
  EXPECT_EQ(scheduler_.RunQueued(), 1U);
  EXPECT_EQ(status, absl::DeadlineExceededError("the deadline passed before the model ran"));
  EXPECT_EQ(runs_, 0);
}

TEST_F(EngineTest, CancelledRequestLeavesTheQueueAtOnce) {
  Serve();
  CancelToken cancel;
  request_.cancel = &cancel;
  Status status;
  engine_.Run(*handle_, request_, true, [&](InferResponse response) { status = response.status; });
  cancel.Cancel(CancelReason::kDeadline);
  EXPECT_EQ(status, absl::DeadlineExceededError("the deadline passed before the model ran"));
  EXPECT_EQ(scheduler_.RunQueued(), 0U);
  EXPECT_EQ(runs_, 0);
}

TEST_F(EngineTest, CheapModelWithAWeightTakesItsTurn) {
  Serve();
  WarmUp();
  EXPECT_FALSE(NextRunsOnPool());
  scheduler_.SetModels({{"m", {.flow = {.weight = 2}, .queues_always = true}}});
  EXPECT_TRUE(NextRunsOnPool());
  scheduler_.SetModels({});
  EXPECT_FALSE(NextRunsOnPool());
}

TEST_F(EngineTest, RunsThatTheModelAllowsAtATimeBoundTheQueue) {
  info_.traits.runs_max = 1;
  info_.traits.answers_in_run = false;
  std::vector<ResponseCallback> pending;
  ASSERT_TRUE(ServeFakeModel(manager_, metrics_, "late", [&] {
                return std::make_unique<FakeModel>(info_,
                                                   [&](const InferRequest&, ResponseCallback done) {
                                                     pending.push_back(std::move(done));
                                                   });
              }).ok());
  const ModelHandle handle = *engine_.Find({.name = "late", .version = {}, .label = {}});
  int answers = 0;
  for (int i = 0; i < 2; ++i)
    engine_.Run(handle, request_, true, [&](InferResponse) { ++answers; });
  EXPECT_EQ(scheduler_.RunQueued(), 1U);
  EXPECT_EQ(scheduler_.slots_taken(), 1U) << "its answer is not there, so it computes";
  pending[0]({});
  EXPECT_EQ(scheduler_.slots_taken(), 0U);
  EXPECT_EQ(scheduler_.RunQueued(), 1U);
  pending[1]({});
  EXPECT_EQ(answers, 2);
}

TEST_F(EngineTest, RunWhoseReceiverMayBeSlowHoldsNoSlotWhileItWaits) {
  info_.traits.answers_in_run = false;
  ResponseCallback pending;
  ASSERT_NO_FATAL_FAILURE(ServeLate(pending));
  const ModelHandle handle = *engine_.Find({.name = "late", .version = {}, .label = {}});
  FlowControl flow;
  request_.flow = &flow;
  engine_.Run(handle, request_, true, [](InferResponse) {});
  EXPECT_EQ(scheduler_.RunQueued(), 1U);
  EXPECT_EQ(scheduler_.slots_taken(), 0U);
  EXPECT_EQ(scheduler_.States()[0].runs, 1U);
  pending({});
  EXPECT_EQ(scheduler_.States()[0].runs, 0U);
}

TEST_F(EngineTest, FullPoolIsUnavailable) {
  Serve();
  while (scheduler_.common().Submit([] {})) {
  }
  EXPECT_EQ(Run().code(), StatusCode::kUnavailable);
  EXPECT_EQ(runs_, 0);
}

TEST_F(EngineTest, MetricsPerModelAndVersion) {
  Serve();
  WarmUp();
  ASSERT_TRUE(Run().ok());
  const std::string text = metrics_.Text();
  EXPECT_NE(text.find(":tensorflow:serving:runtime_latency_count{model_name=\"m\","
                      "model_version=\"1\",API=\"Predict\",runtime=\"fake\"} 101"),
            std::string::npos)
      << text;
  EXPECT_NE(text.find("penstock_stage_latency_us_count{model_name=\"m\",model_version=\"1\","
                      "stage=\"run\"} 101"),
            std::string::npos);
}

// The caller may drop its handle in the answer, also while the version is being unloaded: the model
// must live until its Run has returned.
TEST_F(EngineTest, ModelOutlivesItsRun) {
  for (const bool answers_in_run : {true, false}) {
    info_.traits.answers_in_run = answers_in_run;
    Serve();
    ASSERT_TRUE(manager_.RemoveModel("m").ok());
    engine_.Run(*handle_, request_, true, [&](InferResponse) {
      handle_.reset();
      EXPECT_EQ(manager_.VersionStatuses("m")[0].state, core::VersionState::kUnloading);
    });
    EXPECT_EQ(scheduler_.RunQueued(), 1U);
    ASSERT_TRUE(manager_.WaitUntilIdle());
  }
}

TEST_F(EngineTest, PartsOfALateAnswer) {
  info_.traits.answers_in_run = false;
  ResponseCallback pending;
  ASSERT_NO_FATAL_FAILURE(ServeLate(pending));
  std::optional<ModelHandle> handle = *engine_.Find({.name = "late", .version = {}, .label = {}});
  int parts = 0;
  engine_.Run(*handle, request_, true, [&](InferResponse response) {
    ++parts;
    if (response.is_last) handle.reset();
  });
  EXPECT_EQ(scheduler_.RunQueued(), 1U);
  ASSERT_TRUE(manager_.RemoveModel("late").ok());
  InferResponse part;
  part.is_last = false;
  pending(std::move(part));
  EXPECT_EQ(parts, 1);
  pending({});
  EXPECT_EQ(parts, 2);
  EXPECT_EQ(manager_.VersionStatuses("late")[0].state, core::VersionState::kUnloading);
  pending = nullptr;
  ASSERT_TRUE(manager_.WaitUntilIdle());
  EXPECT_EQ(manager_.VersionStatuses("late")[0].state, core::VersionState::kEnd);
}

// Requests of several threads while versions are swapped: none fails.
TEST(EngineStressTest, NoRequestFailsWhileVersionsAreSwapped) {
  MetricsRegistry metrics;
  core::Manager manager;
  // Outlive the pool, whose threads may still be in notify_one when a client goes on.
  std::array<std::atomic<bool>, 3> answered_flags{};
  schedule::Scheduler scheduler({.compute_slots = 2});
  Engine engine({}, manager, scheduler);
  const auto answer_inputs = [](const InferRequest& request, ResponseCallback done) {
    InferResponse response;
    response.outputs = request.inputs;
    done(std::move(response));
  };
  const auto make = [&] { return std::make_unique<FakeModel>(FakeInfoOfAny(), answer_inputs); };
  ASSERT_TRUE(ServeFakeModel(manager, metrics, "m", make).ok());
  std::atomic<bool> stop{false};
  std::atomic<int> failures{0};
  std::vector<std::thread> clients;
  for (std::atomic<bool>& answered : answered_flags) {
    clients.emplace_back([&] {
      InferRequest request;
      request.inputs.push_back({"x", *Tensor::Allocate(DType::kFloat32, {1})});
      request.inputs[0].tensor.mutable_as<float>()[0] = 1;
      while (!stop) {
        auto handle = engine.Find({.name = "m", .version = {}, .label = {}});
        if (!handle.ok()) {
          ++failures;
          continue;
        }
        answered = false;
        engine.Run(*handle, request, true, [&](InferResponse response) {
          if (!response.status.ok() || response.outputs[0].tensor.as<float>()[0] != 1.0F)
            ++failures;
          answered = true;
          answered.notify_one();
        });
        answered.wait(false);
      }
    });
  }
  for (int64_t version = 2; version <= 40; ++version) {
    ASSERT_TRUE(ServeFakeModel(manager, metrics, "m", make, {version}).ok());
  }
  stop = true;
  for (std::thread& client : clients) client.join();
  EXPECT_EQ(failures, 0);
}

}  // namespace
}  // namespace penstock
