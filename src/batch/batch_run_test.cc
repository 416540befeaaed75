// SPDX-License-Identifier: Apache-2.0
// Requests that wait run together, through the engine and its queues.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <deque>
#include <functional>
#include <memory>
#include <numeric>
#include <optional>
#include <random>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "base/calls/turn_end.h"
#include "base/check.h"
#include "batch/model_batcher.h"
#include "infer/model_fake.h"

namespace penstock::batch {
namespace {

using std::chrono::milliseconds;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

ModelInfo DoublerInfo() {
  ModelInfo info;
  info.platform = "fake";
  const Shape shape{-1, -1};
  const TensorSpec x = FakeSpec("x", DType::kFloat32, shape);
  const TensorSpec y = FakeSpec("y", DType::kFloat32, shape);
  const TensorSpec z = FakeSpec("z", DType::kFloat32, shape);
  info.signatures = {
      {.name = "serving_default", .method_name = "", .inputs = {x}, .outputs = {y, z}},
      {.name = "other", .method_name = "", .inputs = {x}, .outputs = {y, z}}};
  info.traits.answers_in_run = true;
  return info;
}

// y = 2 x, and z = 3 x if the request names it. Fails if any element is negative.
InferResponse Double(const InferRequest& request) {
  InferResponse response;
  const Tensor& x = request.inputs.front().tensor;
  Tensor y = *Tensor::Allocate(DType::kFloat32, x.shape());
  for (size_t i = 0; i < y.as<float>().size(); ++i) {
    if (x.as<float>()[i] < 0) response.status = absl::InvalidArgumentError("negative");
    y.mutable_as<float>()[i] = 2 * x.as<float>()[i];
  }
  if (!response.status.ok()) return response;
  const auto& filter = request.output_filter;
  const auto wants = [&](std::string_view name) {
    return std::ranges::find(filter, name) != filter.end();
  };
  if (filter.empty() || wants("y")) response.outputs.push_back({"y", y});
  if (wants("z")) {
    Tensor z = *Tensor::Allocate(DType::kFloat32, x.shape());
    for (size_t i = 0; i < z.as<float>().size(); ++i)
      z.mutable_as<float>()[i] = 3 * x.as<float>()[i];
    response.outputs.push_back({"z", std::move(z)});
  }
  return response;
}

InferRequest Request(const std::vector<float>& rows, int64_t width = 1) {
  InferRequest request;
  Tensor x = *Tensor::Allocate(DType::kFloat32, {static_cast<int64_t>(rows.size()), width});
  for (size_t i = 0; i < x.as<float>().size(); ++i)
    x.mutable_as<float>()[i] = rows[i / static_cast<size_t>(width)];
  request.inputs.push_back({"x", std::move(x)});
  return request;
}

// What one request has got. One thread at a time.
struct Outcome {
  InferRequest request;
  int answers = 0;
  Status status;
  std::vector<float> values;

  void Set(InferResponse&& response) {
    ++answers;
    status = response.status;
    if (response.outputs.empty()) return;
    const auto span = response.outputs.front().tensor.as<float>();
    values.assign(span.begin(), span.end());
  }
};

class BatchRunTest : public ::testing::Test {
 protected:
  void Serve(int64_t rows_max = kBatchRowsMax, std::vector<int64_t> allowed_rows = {}) {
    Serve({.rows_max = rows_max, .allowed_rows = std::move(allowed_rows)});
  }
  void Serve(BatchSettings settings) {
    const auto run = [this](const InferRequest& request, ResponseCallback done) {
      seen_.push_back(request.inputs.front().tensor.shape().dim(0));
      run_(request, std::move(done));
    };
    ASSERT_TRUE(ServeFakeModel(manager_, metrics_, "m", [&] {
                  return std::make_unique<FakeModel>(info_, run);
                }).ok());
    handle_.emplace(*engine_.Find({.name = "m", .version = {}, .label = {}}));
    auto& served = static_cast<ServedModel&>(Served(*manager_.GetHandle("m", std::nullopt)));
    auto batcher = std::make_unique<ModelBatcher>(served.info(),
                                                  BatcherOptions{{"m", {1}}, settings}, metrics_);
    batcher_ = batcher.get();
    for (uint32_t i = 0; i < info_.signatures.size(); ++i)
      batcher->TurnOn(i, *PadPlan::Make(served.info().signatures[i], settings.pad));
    served.SetBatcher(std::move(batcher), /*runs=*/1);
  }
  Outcome& Send(InferRequest request) {
    Outcome& outcome = outcomes_.emplace_back();
    outcome.request = std::move(request);
    engine_.Run(*handle_, outcome.request, /*may_run_inline=*/true,
                [&outcome](InferResponse response) { outcome.Set(std::move(response)); });
    return outcome;
  }
  void RunAll() {
    scheduler_.RunQueued();
    for (const Outcome& outcome : outcomes_) EXPECT_EQ(outcome.answers, 1);
  }

  FakeClock clock_;
  MetricsRegistry metrics_;
  schedule::Scheduler scheduler_{{.threads = schedule::PoolThreads::kNone}, clock_};
  core::Manager manager_{{}};
  Counter& refusals_ = metrics_.AddCounter("refusals", "", {});
  RequestBudget budget_ = std::make_shared<RequestAllowance>(uint64_t{1} << 30, refusals_);
  const Refusals refused_{metrics_};
  Engine engine_{{.request_budget = budget_, .refusals = &refused_}, manager_, scheduler_, clock_};
  ModelInfo info_ = DoublerInfo();
  std::function<void(const InferRequest&, ResponseCallback)> run_ =
      [](const InferRequest& request, ResponseCallback done) { done(Double(request)); };
  std::vector<int64_t> seen_;  // the rows of each run
  std::optional<ModelHandle> handle_;
  ModelBatcher* batcher_ = nullptr;
  std::deque<Outcome> outcomes_;
};

TEST_F(BatchRunTest, WhatWaitsRunsTogether) {
  Serve();
  const Outcome& a = Send(Request({1, 2}));
  const Outcome& b = Send(Request({3}));
  const Outcome& c = Send(Request({4, 5, 6}));
  RunAll();
  EXPECT_THAT(seen_, ElementsAre(6));
  EXPECT_THAT(a.values, ElementsAre(2, 4));
  EXPECT_THAT(b.values, ElementsAre(6));
  EXPECT_THAT(c.values, ElementsAre(8, 10, 12));
}

TEST_F(BatchRunTest, LoneRequestRunsAsItIs) {
  const void* data = nullptr;
  run_ = [&](const InferRequest& request, ResponseCallback done) {
    data = request.inputs.front().tensor.data();
    done(Double(request));
  };
  Serve();
  const Outcome& only = Send(Request({1, 2}));
  RunAll();
  EXPECT_EQ(data, only.request.inputs.front().tensor.data()) << "its rows were copied";
  EXPECT_THAT(only.values, ElementsAre(2, 4));
  EXPECT_EQ(batcher_->limit(0).Curve().size(), 1U) << "its time counts for the limit";
}

TEST_F(BatchRunTest, MetricsShowTheSizes) {
  Serve();
  Send(Request({1, 2}));
  Send(Request({3}));
  RunAll();
  const std::string text = metrics_.Text();
  const std::string labels = R"({model_name="m",model_version="1")";
  EXPECT_THAT(text, HasSubstr("penstock_batch_rows_sum" + labels + "} 3\n"));
  EXPECT_THAT(text, HasSubstr("penstock_batch_requests_sum" + labels + "} 2\n"));
  EXPECT_THAT(text, HasSubstr("penstock_batch_rows_limit" + labels +
                              R"(,signature="serving_default"} 16)"
                              "\n"));
}

TEST_F(BatchRunTest, RequestsThatDoNotFitRunApart) {
  Serve();
  const Outcome& a = Send(Request({1}));
  const Outcome& wide = Send(Request({2}, /*width=*/3));
  InferRequest other = Request({3});
  other.signature_name = "other";
  const Outcome& b = Send(std::move(other));
  InferRequest named = Request({4});
  named.signature_name = "serving_default";
  const Outcome& c = Send(std::move(named));
  RunAll();
  EXPECT_THAT(seen_, ElementsAre(2, 1, 1));
  EXPECT_THAT(a.values, ElementsAre(2));
  EXPECT_THAT(wide.values, ElementsAre(4, 4, 4));
  EXPECT_THAT(b.values, ElementsAre(6));
  EXPECT_THAT(c.values, ElementsAre(8)) << "the default signature has a name too";
}

TEST_F(BatchRunTest, RequestsForDifferentOutputsRunTogether) {
  Serve();
  InferRequest for_z = Request({2}), for_y = Request({3});
  for_z.output_filter = {"z"};
  for_y.output_filter = {"y"};
  const Outcome& a = Send(std::move(for_z));
  const Outcome& b = Send(std::move(for_y));
  RunAll();
  EXPECT_THAT(seen_, ElementsAre(2));
  EXPECT_THAT(a.values, ElementsAre(6));
  EXPECT_THAT(b.values, ElementsAre(6));
}

TEST_F(BatchRunTest, BatchHasNoMoreRowsThanTheLimit) {
  Serve(/*rows_max=*/4);
  for (const size_t rows : {2, 3, 1, 5, 2}) Send(Request(std::vector<float>(rows, 1)));
  RunAll();
  EXPECT_THAT(seen_, ElementsAre(3, 3, 5, 2)) << "5 rows run alone, and later ones fill up";
}

TEST_F(BatchRunTest, BatchHasNoMoreRowsThanItsMemoryAllows) {
  // 8 KiB for the input and the output of each row, which the signature does not say.
  Serve({.rows_max = 64, .bytes_max = 80 << 10, .delay_us_max = 5000});
  for (int i = 0; i < 64; ++i) Send(Request({1}, /*width=*/1024));
  scheduler_.RunQueued();
  clock_.Advance(milliseconds(5));
  RunAll();
  EXPECT_EQ(seen_.front(), RowMemory::kUnknownRowsMax);
  for (size_t i = 1; i < seen_.size(); ++i) EXPECT_LE(seen_[i], 10);
  EXPECT_EQ(std::accumulate(seen_.begin(), seen_.end(), int64_t{0}), 64);
  seen_.clear();
  Send(Request(std::vector<float>(20, 1), /*width=*/1024));
  clock_.Advance(milliseconds(5));
  RunAll();
  EXPECT_THAT(seen_, ElementsAre(20)) << "one request may take more";
}

TEST_F(BatchRunTest, AllowedAndPreferredSizesObeyTheMemoryOfABatch) {
  for (Signature& each : info_.signatures) each.inputs[0].shape = each.outputs[0].shape = {-1, 100};
  for (Signature& each : info_.signatures) each.outputs.resize(1);
  Serve({.rows_max = 16,
         .allowed_rows = {4, 8, 16},
         .bytes_max = 6000,  // 7 rows
         .delay_us_max = 5000,
         .preferred_rows = {2, 6, 12}});
  EXPECT_EQ(batcher_->RowsMax(0), 4);
  EXPECT_EQ(batcher_->RowsToTake(0, 100), 6);
  EXPECT_EQ(batcher_->gathering().rows, 2);
}

TEST_F(BatchRunTest, RequestsWaitOnlyForAsManyRowsAsFit) {
  for (Signature& each : info_.signatures) each.inputs[0].shape = each.outputs[0].shape = {-1, 100};
  for (Signature& each : info_.signatures) each.outputs.resize(1);
  Serve({.rows_max = 64, .bytes_max = 6000, .delay_us_max = 5000});
  for (int i = 0; i < 14; ++i) Send(Request({1}, /*width=*/100));
  RunAll();
  EXPECT_THAT(seen_, ElementsAre(7, 7));
}

TEST_F(BatchRunTest, RunsHaveAllowedSizes) {
  Serve(/*rows_max=*/8, /*allowed_rows=*/{4, 8});
  const Outcome& a = Send(Request({1, 2}));
  const Outcome& b = Send(Request({3, 4, 5}));
  RunAll();
  const Outcome& lone = Send(Request({6}));
  RunAll();
  Send(Request({-1}));
  RunAll();
  Send(Request(std::vector<float>(9, 1)));
  RunAll();
  EXPECT_THAT(seen_, ElementsAre(8, 4, 4, 9)) << "a larger one stays as it is";
  EXPECT_THAT(a.values, ElementsAre(2, 4));
  EXPECT_THAT(b.values, ElementsAre(6, 8, 10));
  EXPECT_THAT(lone.values, ElementsAre(12));
  EXPECT_EQ(outcomes_[3].status.code(), StatusCode::kInvalidArgument) << "and did not run twice";
  EXPECT_THAT(
      metrics_.Text(),
      HasSubstr("penstock_batch_padding_rows_total{model_name=\"m\",model_version=\"1\"} 6\n"));
}

TEST_F(BatchRunTest, TheLimitIsAnAllowedSize) {
  Serve(/*rows_max=*/64, /*allowed_rows=*/{4, 40, 64});
  EXPECT_EQ(batcher_->limit(0).rows(), 16);
  EXPECT_EQ(batcher_->RowsMax(0), 40);
}

TEST_F(BatchRunTest, CancelledAndExpiredRequestsDoNotJoin) {
  Serve();
  CancelToken token, late_token;
  InferRequest cancelled = Request({1}), expired = Request({2});
  cancelled.cancel = &token;
  expired.deadline = clock_.Now() + milliseconds(5);
  const Outcome& a = Send(std::move(cancelled));
  const Outcome& b = Send(std::move(expired));
  const Outcome& c = Send(Request({3}));
  InferRequest marked = Request({4});
  marked.cancel = &late_token;
  const Outcome& d = Send(std::move(marked));
  token.Cancel();
  EXPECT_EQ(a.status.code(), StatusCode::kCancelled);
  // Its callback has not run yet, so it is still in the queue.
  ASSERT_TRUE(late_token.Mark());
  clock_.Advance(milliseconds(10));
  RunAll();
  EXPECT_THAT(seen_, ElementsAre(1));
  EXPECT_EQ(b.status.code(), StatusCode::kDeadlineExceeded);
  EXPECT_THAT(c.values, ElementsAre(6));
  EXPECT_EQ(d.status.code(), StatusCode::kCancelled);
}

TEST_F(BatchRunTest, ABatchIsCancelledWhenNobodyWaitsForItAnyMore) {
  CancelToken tokens[2];
  std::vector<bool> was_cancelled;
  run_ = [&](const InferRequest& request, ResponseCallback done) {
    was_cancelled.push_back(request.cancel->IsCancelled());
    for (CancelToken& token : tokens) {
      token.Cancel();
      was_cancelled.push_back(request.cancel->IsCancelled());
    }
    done({.status = absl::CancelledError("stopped"), .outputs = {}});
  };
  Serve();
  for (CancelToken& token : tokens) {
    InferRequest request = Request({1});
    request.cancel = &token;
    Send(std::move(request));
  }
  RunAll();
  EXPECT_THAT(was_cancelled, ElementsAre(false, false, true));
  EXPECT_THAT(seen_, ElementsAre(2)) << "cancelled requests are not repeated";
  for (const Outcome& outcome : outcomes_)
    EXPECT_EQ(outcome.status.code(), StatusCode::kCancelled) << outcome.status;
}

TEST_F(BatchRunTest, OneMemberThatIsCancelledStopsNoOther) {
  CancelToken token;
  run_ = [&](const InferRequest& request, ResponseCallback done) {
    token.Cancel();
    EXPECT_FALSE(request.cancel->IsCancelled());
    done(Double(request));
  };
  Serve();
  InferRequest request = Request({1});
  request.cancel = &token;
  Send(std::move(request));
  const Outcome& other = Send(Request({2}));
  RunAll();
  EXPECT_THAT(other.values, ElementsAre(4));
}

TEST_F(BatchRunTest, FailingRequestFailsAlone) {
  Serve();
  const Outcome& a = Send(Request({1}));
  const Outcome& bad = Send(Request({-1}));
  const Outcome& b = Send(Request({2}));
  RunAll();
  EXPECT_THAT(seen_, ElementsAre(3, 1, 1, 1));
  EXPECT_THAT(a.values, ElementsAre(2));
  EXPECT_THAT(b.values, ElementsAre(4));
  EXPECT_EQ(bad.status.code(), StatusCode::kInvalidArgument);
  EXPECT_TRUE(batcher_->IsOn(0));
  EXPECT_THAT(metrics_.Text(), HasSubstr("penstock_batch_retried_requests_total{model_name=\"m\","
                                         "model_version=\"1\"} 3\n"));
}

TEST_F(BatchRunTest, AFailedBatchRunsAgainInHalves) {
  Serve();
  std::vector<const Outcome*> good;
  const Outcome* bad = nullptr;
  for (int i = 0; i < 16; ++i) {
    const Outcome& outcome = Send(Request({i == 5 ? -1.0F : static_cast<float>(i)}));
    if (i == 5) {
      bad = &outcome;
    } else {
      good.push_back(&outcome);
    }
  }
  RunAll();
  EXPECT_THAT(seen_, testing::UnorderedElementsAre(16, 8, 8, 4, 4, 2, 2, 1, 1));
  for (const Outcome* each : good) EXPECT_TRUE(each->status.ok()) << each->status;
  EXPECT_EQ(bad->status.code(), StatusCode::kInvalidArgument);
}

TEST_F(BatchRunTest, FailedBatchIsNotRepeatedIfRunsHaveSideEffects) {
  info_.traits.has_side_effects = true;
  Serve();
  const Outcome& a = Send(Request({1}));
  Send(Request({-1}));
  RunAll();
  EXPECT_THAT(seen_, ElementsAre(2));
  EXPECT_EQ(a.status.code(), StatusCode::kInvalidArgument);
}

TEST_F(BatchRunTest, ModelThatMixesRowsIsNoLongerBatched) {
  run_ = [](const InferRequest&, ResponseCallback done) {
    InferResponse response;
    response.outputs.push_back({"y", *Tensor::Allocate(DType::kFloat32, {1, 1})});
    done(std::move(response));
  };
  Serve();
  for (int i = 0; i < 3; ++i) Send(Request({1}));
  RunAll();
  EXPECT_THAT(seen_, ElementsAre(3, 1, 1, 1));
  EXPECT_FALSE(batcher_->IsOn(0));
  EXPECT_TRUE(batcher_->IsOn(1));
  for (const Outcome& outcome : outcomes_) EXPECT_EQ(outcome.values.size(), 1U);
}

TEST_F(BatchRunTest, ModelThatAnswersInPartsIsNoLongerBatched) {
  run_ = [](const InferRequest& request, ResponseCallback done) {
    InferResponse first = Double(request);
    first.is_last = false;
    if (request.inputs.front().tensor.shape().dim(0) > 1) done(std::move(first));
    done(Double(request));
  };
  Serve();
  Send(Request({1}));
  const Outcome& b = Send(Request({2}));
  RunAll();
  EXPECT_FALSE(batcher_->IsOn(0));
  EXPECT_THAT(b.values, ElementsAre(4));
}

TEST_F(BatchRunTest, AnswerMayComeAfterRunHasReturned) {
  info_.traits.answers_in_run = false;
  std::vector<std::pair<InferResponse, ResponseCallback>> late;
  run_ = [&](const InferRequest& request, ResponseCallback done) {
    late.emplace_back(Double(request), std::move(done));
  };
  Serve();
  const Outcome& a = Send(Request({1}));
  const Outcome& bad = Send(Request({-2}));
  scheduler_.RunQueued();
  EXPECT_EQ(scheduler_.slots_taken(), 1U);
  for (size_t i = 0; i < 3; ++i) {
    ASSERT_EQ(late.size(), i + 1) << "one run at a time";
    auto [response, done] = std::move(late[i]);
    done(std::move(response));
    scheduler_.RunQueued();
  }
  EXPECT_THAT(seen_, ElementsAre(2, 1, 1));
  EXPECT_THAT(a.values, ElementsAre(2));
  EXPECT_EQ(bad.status.code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(scheduler_.slots_taken(), 0U);
}

TEST_F(BatchRunTest, RequestsRunAloneIfThereIsNoMemoryForTheirBatch) {
  budget_ = std::make_shared<RequestAllowance>(0, refusals_);
  Engine engine({.request_budget = budget_}, manager_, scheduler_, clock_);
  Serve();
  for (int i = 0; i < 2; ++i) {
    Outcome& outcome = outcomes_.emplace_back();
    outcome.request = Request(std::vector<float>(1, 1), /*width=*/2000);
    engine.Run(*handle_, outcome.request, /*may_run_inline=*/true,
               [&](InferResponse response) { outcome.Set(std::move(response)); });
  }
  RunAll();
  EXPECT_THAT(seen_, ElementsAre(1, 1));
  for (const Outcome& outcome : outcomes_) EXPECT_EQ(outcome.values.size(), 2000U);
}

TEST_F(BatchRunTest, RequestsWaitForOthersIfTheOperatorWantsIt) {
  Serve({.rows_max = 4, .delay_us_max = 5000});
  const Outcome& a = Send(Request({1}));
  scheduler_.RunQueued();
  EXPECT_THAT(seen_, IsEmpty());
  clock_.Advance(milliseconds(4));
  Send(Request({2}));
  scheduler_.RunQueued();
  EXPECT_THAT(seen_, IsEmpty());
  clock_.Advance(milliseconds(1));
  RunAll();
  EXPECT_THAT(seen_, ElementsAre(2)) << "the first one has waited long enough";
  EXPECT_THAT(a.values, ElementsAre(2));
  for (int i = 0; i < 4; ++i) Send(Request({3}));
  RunAll();
  EXPECT_THAT(seen_, ElementsAre(2, 4)) << "the batch is full";
  InferRequest alone = Request({4});
  alone.further_signatures.push_back({"other"});
  Send(std::move(alone));
  RunAll();
  EXPECT_THAT(seen_, ElementsAre(2, 4, 1, 1)) << "it does not wait for others";
}

TEST_F(BatchRunTest, BatchesHavePreferredSizes) {
  Serve({.rows_max = 100, .delay_us_max = 5000, .preferred_rows = {4, 8}});
  for (int i = 0; i < 3; ++i) Send(Request({1}));
  scheduler_.RunQueued();
  EXPECT_THAT(seen_, IsEmpty());
  for (int i = 0; i < 8; ++i) Send(Request({1}));
  scheduler_.RunQueued();
  EXPECT_THAT(seen_, ElementsAre(8));
  Send(Request({1}));
  scheduler_.RunQueued();
  EXPECT_THAT(seen_, ElementsAre(8, 4));
  Send(Request({1}));
  clock_.Advance(milliseconds(5));
  RunAll();
  EXPECT_THAT(seen_, ElementsAre(8, 4, 1)) << "nothing better came in time";
}

TEST_F(BatchRunTest, LateRequestsAreRefusedWhenTheirTurnComes) {
  scheduler_.SetModels({{"m", {.flow = {.late_after = 5'000'000}}}});
  Serve();
  Send(Request({1}));
  Send(Request({2}));
  InferRequest alone = Request({3});
  alone.further_signatures.push_back({"other"});
  Send(std::move(alone));
  clock_.Advance(milliseconds(4));
  const Outcome& recent = Send(Request({4}));
  clock_.Advance(milliseconds(2));
  RunAll();
  EXPECT_THAT(seen_, ElementsAre(1));
  EXPECT_THAT(recent.values, ElementsAre(8));
  for (size_t i = 0; i < 3; ++i) {
    EXPECT_EQ(outcomes_[i].status.code(), StatusCode::kUnavailable);
    EXPECT_THAT(
        outcomes_[i].status.message(),
        HasSubstr("model m is busy: the request has waited longer than 5000 us; try again"));
  }
}

// The padded elements would double too.
const PadSettings kPadX = {.rules = {{.input = "x", .value = "-0.0", .cut_outputs = {"y", "z"}}}};

TEST_F(BatchRunTest, RequestsOfOtherSizesArePaddedAndCutBack) {
  Serve({.pad = kPadX});
  const Outcome& a = Send(Request({1, 2}));
  const Outcome& wide = Send(Request({3}, /*width=*/3));
  const Outcome& empty = Send(Request({4}, /*width=*/0));
  RunAll();
  EXPECT_THAT(seen_, ElementsAre(3, 1));
  EXPECT_THAT(a.values, ElementsAre(2, 4));
  EXPECT_THAT(wide.values, ElementsAre(6, 6, 6));
  EXPECT_THAT(empty.values, IsEmpty());
  const std::string labels = R"({model_name="m",model_version="1"})";
  EXPECT_THAT(metrics_.Text(), HasSubstr("penstock_batch_elements_total" + labels + " 9\n"));
  EXPECT_THAT(metrics_.Text(),
              HasSubstr("penstock_batch_padding_elements_total" + labels + " 4\n"));
}

TEST_F(BatchRunTest, BatchesWithTooMuchPaddingAreNotFormed) {
  Serve({.pad = kPadX});
  const Outcome& wide = Send(Request({1}, /*width=*/5000));
  const Outcome& narrow = Send(Request({2, 2}, /*width=*/10));
  const Outcome& other = Send(Request({3}, /*width=*/4000));
  RunAll();
  EXPECT_THAT(seen_, ElementsAre(2, 2));
  EXPECT_EQ(wide.values.size(), 5000U);
  EXPECT_EQ(narrow.values, std::vector<float>(20, 4));
  EXPECT_EQ(other.values, std::vector<float>(4000, 6));
}

TEST_F(BatchRunTest, PaddedRequestsAreRepeatedAloneIfTheirBatchFails) {
  Serve({.pad = kPadX});
  const Outcome& a = Send(Request({1}));
  const Outcome& bad = Send(Request({-1}, /*width=*/2));
  RunAll();
  EXPECT_THAT(seen_, ElementsAre(2, 1, 1));
  EXPECT_THAT(a.values, ElementsAre(2));
  EXPECT_EQ(bad.status.code(), StatusCode::kInvalidArgument);
  EXPECT_TRUE(batcher_->IsOn(0));
}

TEST_F(BatchRunTest, LargeRequestRunsInParts) {
  Serve({.rows_max = 4, .splits = true});
  const Outcome& large = Send(Request({1, 2, 3, 4, 5, 6, 7, 8, 9}));
  const Outcome& small = Send(Request({10, 11}));
  RunAll();
  EXPECT_THAT(seen_, ElementsAre(4, 4, 3)) << "others join the last part";
  EXPECT_THAT(large.values, ElementsAre(2, 4, 6, 8, 10, 12, 14, 16, 18));
  EXPECT_THAT(small.values, ElementsAre(20, 22));
  Send(Request({1, 2, 3, 4}));
  RunAll();
  EXPECT_THAT(seen_, ElementsAre(4, 4, 3, 4));
  EXPECT_THAT(
      metrics_.Text(),
      HasSubstr("penstock_batch_split_requests_total{model_name=\"m\",model_version=\"1\"} 1\n"));
}

TEST_F(BatchRunTest, PartsHaveAllowedSizes) {
  Serve({.rows_max = 4, .allowed_rows = {2, 4}, .splits = true});
  const Outcome& large = Send(Request({1, 2, 3, 4, 5}));
  RunAll();
  EXPECT_THAT(seen_, ElementsAre(4, 2));
  EXPECT_THAT(large.values, ElementsAre(2, 4, 6, 8, 10));
}

TEST_F(BatchRunTest, FewPartsOfARequestWaitAtATime) {
  Serve({.rows_max = 1, .splits = true});
  const Outcome& large = Send(Request(std::vector<float>(1000, 1)));
  EXPECT_EQ(scheduler_.queue_length(), 2U) << "one runs next, and one after it";
  RunAll();
  EXPECT_EQ(seen_.size(), 1000U);
  EXPECT_EQ(large.values, std::vector<float>(1000, 2));
}

TEST_F(BatchRunTest, LargeRequestLeavesRoomInTheQueueOfItsModel) {
  scheduler_.SetModels({{"m", {.flow = {.items_max = 3, .bytes_max = 1000}}}});
  Serve({.rows_max = 1, .splits = true});
  InferRequest large = Request(std::vector<float>(100, 1));
  large.message_bytes = 40'000;  // 400 for each part
  const Outcome& first = Send(std::move(large));
  EXPECT_EQ(scheduler_.queue_length(), 2U);
  const schedule::QueueState state = engine_.QueueOf(*handle_).State();
  EXPECT_EQ(state.bytes, 800U);
  const Outcome& other = Send(Request({2}));
  EXPECT_EQ(other.answers, 0) << "it may wait, too";
  InferRequest third = Request(std::vector<float>(100, 1));
  third.message_bytes = 40'000;
  EXPECT_EQ(Send(std::move(third)).status.code(), StatusCode::kUnavailable);
  RunAll();
  EXPECT_EQ(first.values, std::vector<float>(100, 2));
  EXPECT_THAT(other.values, ElementsAre(4));

  InferRequest wide = Request({1, 2, 3});
  wide.message_bytes = 3000;  // 1000 for each part
  Send(std::move(wide));
  EXPECT_EQ(scheduler_.queue_length(), 1U) << "one part has as many bytes as may wait";
  RunAll();
}

TEST_F(BatchRunTest, PartsWriteIntoTheOneAnswerOfTheirRequest) {
  // 100 rows of 4 KiB: the budget has room for the answer, and for no part beside it.
  budget_ = std::make_shared<RequestAllowance>(uint64_t{410} << 10, refusals_);
  Engine engine({.request_budget = budget_}, manager_, scheduler_, clock_);
  Serve({.rows_max = 1, .splits = true});
  std::vector<uint64_t> left;
  run_ = [&](const InferRequest& request, ResponseCallback done) {
    left.push_back(budget_->left());
    done(Double(request));
  };
  for (const size_t rows : {100, 200}) {
    Outcome& outcome = outcomes_.emplace_back();
    outcome.request = Request(std::vector<float>(rows, 1), /*width=*/1024);
    engine.Run(*handle_, outcome.request, /*may_run_inline=*/true,
               [&](InferResponse response) { outcome.Set(std::move(response)); });
    RunAll();
  }
  EXPECT_EQ(outcomes_[0].values, std::vector<float>(100 * 1024, 2));
  EXPECT_EQ(left[0] - left[1], 400U << 10) << "the first part makes room for all";
  EXPECT_EQ(left[1], left[99]);
  EXPECT_EQ(outcomes_[1].status.code(), StatusCode::kResourceExhausted);
  EXPECT_EQ(left.size(), 101U) << "no part runs in vain once the first one finds no room";
  EXPECT_EQ(budget_->left(), budget_->total());
}

TEST_F(BatchRunTest, RequestOfTooManyPartsIsRefused) {
  Serve({.rows_max = 2, .splits = true, .split_parts_max = 3});
  EXPECT_EQ(Send(Request({1, 2, 3, 4, 5, 6})).answers, 0);
  const Outcome& large = Send(Request({1, 2, 3, 4, 5, 6, 7}));
  RunAll();
  EXPECT_THAT(seen_, ElementsAre(2, 2, 2));
  EXPECT_EQ(large.status,
            absl::InvalidArgumentError(
                "the request has 7 rows, and would run in 4 parts of 2 rows; no more than 3 parts, "
                "which are 6 rows, may be in one request (split_parts_max)"));
}

TEST_F(BatchRunTest, OperatorsLimitOfRowsGoesBeforeThatOfParts) {
  Serve({.rows_max = 2, .splits = true, .split_parts_max = 1, .request_rows_max = 4});
  const Outcome& large = Send(Request({1, 2, 3, 4}));
  RunAll();
  EXPECT_THAT(large.values, ElementsAre(2, 4, 6, 8));
}

TEST_F(BatchRunTest, SplitRequestCountsAsRefusedOnce) {
  Serve({.rows_max = 1, .splits = true});
  CancelToken token;
  InferRequest left = Request({1, 2, 3, 4}), late = Request({5, 6, 7, 8}), bad = Request({-1, 9});
  left.cancel = &token;
  late.deadline = clock_.Now() + milliseconds(5);
  const Outcome& a = Send(std::move(left));
  token.Cancel();
  EXPECT_EQ(a.status.code(), StatusCode::kCancelled);
  EXPECT_EQ(refused_.client_left.Value(), 1U);
  const Outcome& b = Send(std::move(late));
  clock_.Advance(milliseconds(6));
  scheduler_.RunQueued();
  EXPECT_EQ(b.status.code(), StatusCode::kDeadlineExceeded);
  EXPECT_EQ(refused_.deadline_passed.Value(), 1U);
  Send(std::move(bad));
  RunAll();
  EXPECT_EQ(refused_.client_left.Value(), 1U) << "its second part did not run, but it did";
}

TEST_F(BatchRunTest, OneFailedPartFailsTheRequestOnce) {
  Serve({.rows_max = 2, .splits = true});
  const Outcome& bad = Send(Request({1, 2, 3, -1, 5, 6, 7}));
  const Outcome& good = Send(Request({8}));
  RunAll();
  EXPECT_EQ(bad.status.code(), StatusCode::kInvalidArgument);
  EXPECT_THAT(good.values, ElementsAre(16));
  EXPECT_THAT(seen_, ElementsAre(2, 2, 1)) << "the other parts left the queue";
}

TEST_F(BatchRunTest, CancelReachesAllParts) {
  Serve({.rows_max = 1, .splits = true});
  CancelToken token, running_token;
  InferRequest waiting = Request({1, 2, 3}), running = Request({4, 5, 6});
  waiting.cancel = &token;
  running.cancel = &running_token;
  const Outcome& a = Send(std::move(waiting));
  token.Cancel();
  EXPECT_EQ(a.answers, 1);
  EXPECT_EQ(a.status.code(), StatusCode::kCancelled);
  EXPECT_EQ(scheduler_.queue_length(), 0U);
  run_ = [&](const InferRequest& request, ResponseCallback done) {
    running_token.Cancel(CancelReason::kDeadline);
    EXPECT_TRUE(request.cancel->HasExpired()) << "the model sees it";
    AnswerError(done, absl::DeadlineExceededError("stopped"));
  };
  const Outcome& b = Send(std::move(running));
  RunAll();
  EXPECT_EQ(b.status.code(), StatusCode::kDeadlineExceeded);
  EXPECT_THAT(seen_, ElementsAre(1));
}

TEST_F(BatchRunTest, CancelledBeforeItIsSplit) {
  Serve({.rows_max = 1, .splits = true});
  CancelToken token;
  InferRequest request = Request({1, 2, 3});
  request.cancel = &token;
  token.Cancel();
  const Outcome& a = Send(std::move(request));
  RunAll();
  EXPECT_EQ(a.status.code(), StatusCode::kCancelled);
  EXPECT_THAT(seen_, IsEmpty());
}

TEST_F(BatchRunTest, DeadlineReachesAllParts) {
  Serve({.rows_max = 1, .splits = true});
  InferRequest request = Request({1, 2, 3});
  request.deadline = clock_.Now() + milliseconds(5);
  run_ = [&](const InferRequest& part, ResponseCallback done) {
    clock_.Advance(milliseconds(4));
    done(Double(part));
  };
  const Outcome& a = Send(std::move(request));
  RunAll();
  EXPECT_EQ(a.status.code(), StatusCode::kDeadlineExceeded);
  EXPECT_THAT(seen_, ElementsAre(1, 1));
}

TEST_F(BatchRunTest, PartsKeepTheTimesOfTheirRequest) {
  Serve({.rows_max = 1, .splits = true});
  InferRequest request = Request({1, 2, 3});
  StageTimes times;
  request.times = &times;
  Send(std::move(request));
  clock_.Advance(milliseconds(7));
  const SteadyTime start = clock_.Now();
  RunAll();
  EXPECT_EQ(times.queued, milliseconds(7));
  EXPECT_EQ(times.run_start, start);
}

TEST_F(BatchRunTest, RequestWhosePartsDoNotFitTogetherRunsWhole) {
  // The answer is as wide as the request has rows.
  run_ = [](const InferRequest& request, ResponseCallback done) {
    InferResponse response;
    const int64_t rows = request.inputs.front().tensor.shape().dim(0);
    Tensor y = *Tensor::Allocate(DType::kFloat32, {rows, rows});
    std::ranges::fill(y.mutable_as<float>(), 1);
    response.outputs.push_back({"y", std::move(y)});
    done(std::move(response));
  };
  Serve({.rows_max = 2, .splits = true});
  const Outcome& large = Send(Request({1, 2, 3}));
  RunAll();
  EXPECT_THAT(seen_, ElementsAre(2, 1, 3));
  EXPECT_EQ(large.values.size(), 9U);
  EXPECT_FALSE(batcher_->IsOn(0));
  Send(Request({1, 2, 3}));
  RunAll();
  EXPECT_THAT(seen_, ElementsAre(2, 1, 3, 3)) << "it is not tried again";
}

TEST_F(BatchRunTest, ModelThatAnswersInPartsIsNoLongerSplit) {
  run_ = [](const InferRequest& request, ResponseCallback done) {
    InferResponse first = Double(request);
    first.is_last = false;
    if (request.inputs.front().tensor.shape().dim(0) == 1) done(std::move(first));
    done(Double(request));
  };
  Serve({.rows_max = 1, .splits = true});
  const Outcome& large = Send(Request({1, 2, 3}));
  RunAll();
  EXPECT_THAT(large.values, ElementsAre(2, 4, 6));
  EXPECT_FALSE(batcher_->IsOn(0));
}

TEST_F(BatchRunTest, StreamsAreNotSplit) {
  Serve({.rows_max = 1, .splits = true});
  FlowControl flow;
  InferRequest request = Request({1, 2, 3});
  request.flow = &flow;
  Send(std::move(request));
  RunAll();
  EXPECT_THAT(seen_, ElementsAre(3));
}

TEST_F(BatchRunTest, RequestIsRefusedIfItHasMoreRowsThanAllowed) {
  Serve({.rows_max = 2, .splits = true, .request_rows_max = 3});
  EXPECT_EQ(Send(Request({1, 2, 3})).answers, 0);
  const Outcome& large = Send(Request({1, 2, 3, 4}));
  RunAll();
  EXPECT_THAT(seen_, ElementsAre(2, 1));
  EXPECT_EQ(large.status,
            absl::InvalidArgumentError("Task size 4 is larger than maximum input batch size 3"));
}

// A request that waits until a slot is free, and only then is decoded.
class LateDecode final : public schedule::Job {
 public:
  explicit LateDecode(std::function<void(schedule::Lease&)> run) : run_(std::move(run)) {
    group = &kUndecoded;
  }
  void Start(schedule::Lease& lease) override { run_(lease); }
  void Drop() override {}

 private:
  const std::function<void(schedule::Lease&)> run_;
};

TEST_F(BatchRunTest, LargeRequestsAreDecodedInTheSlotOfTheirBatch) {
  Serve();
  std::deque<LateDecode> jobs;
  // The last one turns out to have another shape.
  for (const float x : {1.0F, 2.0F, 3.0F, 4.0F}) {
    Outcome& outcome = outcomes_.emplace_back();
    LateDecode& job = jobs.emplace_back([&, x](schedule::Lease& lease) {
      outcome.request = Request({x}, x == 4 ? 2 : 1);
      engine_.RunHere(*handle_, outcome.request, lease,
                      [&](InferResponse response) { outcome.Set(std::move(response)); });
    });
    job.deadline = static_cast<int64_t>(x);
    ASSERT_EQ(engine_.QueueOf(*handle_).Enter(job, nullptr), schedule::Admission::kAccepted);
  }
  const Outcome& small = Send(Request({5}));  // decoded before it waits
  RunAll();
  EXPECT_THAT(seen_, ElementsAre(4, 1));
  EXPECT_THAT(outcomes_[2].values, ElementsAre(6));
  EXPECT_THAT(outcomes_[3].values, ElementsAre(8, 8));
  EXPECT_THAT(small.values, ElementsAre(10));
}

TEST_F(BatchRunTest, LargeRequestThatIsDecodedInItsSlotRunsInParts) {
  Serve({.rows_max = 2, .splits = true});
  std::deque<LateDecode> jobs;
  for (int i = 0; i < 2; ++i) {
    Outcome& outcome = outcomes_.emplace_back();
    LateDecode& job = jobs.emplace_back([&](schedule::Lease& lease) {
      outcome.request = Request({1, 2, 3});
      engine_.RunHere(*handle_, outcome.request, lease,
                      [&](InferResponse response) { outcome.Set(std::move(response)); });
    });
    ASSERT_EQ(engine_.QueueOf(*handle_).Enter(job, nullptr), schedule::Admission::kAccepted);
  }
  RunAll();
  EXPECT_THAT(seen_, ElementsAre(2, 2, 2));
  for (const Outcome& outcome : outcomes_) EXPECT_THAT(outcome.values, ElementsAre(2, 4, 6));
}

// Expects the outputs that the request names, and no others, with the values that it gets alone.
void ExpectOwnAnswer(const InferRequest& request, const NamedTensors& outputs) {
  const Tensor& x = request.inputs.front().tensor;
  EXPECT_EQ(outputs.size(), request.output_filter.size());
  for (const NamedTensor& output : outputs) {
    const float factor = output.name == "y" ? 2 : 3;
    EXPECT_EQ(std::ranges::count(request.output_filter, output.name), 1);
    ASSERT_EQ(output.tensor.shape(), x.shape());
    for (size_t i = 0; i < x.as<float>().size(); ++i)
      EXPECT_EQ(output.tensor.as<float>()[i], factor * x.as<float>()[i]);
  }
}

// Sends any mixture of requests, and cancels a third of them at random moments. Each is answered
// once, and gets what it would get alone.
void RunClient(Engine& engine, const ModelHandle& handle, int requests, size_t rows_max,
               unsigned seed) {
  std::mt19937 random(seed);
  struct Call {
    InferRequest request;
    CancelToken token;
    std::atomic<int> answers{0};
    bool is_bad = false;
  };
  std::deque<Call> calls;
  for (int i = 0; i < requests; ++i) {
    Call& call = calls.emplace_back();
    std::vector<float> rows(1 + random() % rows_max);
    for (float& row : rows) row = static_cast<float>(random() % 1000);
    call.is_bad = random() % 50 == 0;
    if (call.is_bad) rows.back() = -1;
    call.request = Request(rows, 1 + static_cast<int64_t>(random() % 3));
    if (random() % 4 == 0) call.request.signature_name = "other";
    call.request.output_filter.push_back(random() % 2 == 0 ? "y" : "z");
    if (random() % 3 == 0)
      call.request.output_filter.push_back(call.request.output_filter[0] == "y" ? "z" : "y");
    if (random() % 10 == 0) call.request.deadline = Clock::Real().Now();
    call.request.cancel = &call.token;
    call.request.message_bytes = 100;
    engine.Run(handle, call.request, /*may_run_inline=*/false, [&call](InferResponse response) {
      if (response.status.ok()) {
        EXPECT_FALSE(call.is_bad);
        ExpectOwnAnswer(call.request, response.outputs);
      } else if (response.status.code() == StatusCode::kInvalidArgument) {
        EXPECT_TRUE(call.is_bad) << "it fails for a batch mate";
      }
      call.answers.fetch_add(1);
    });
    // Most of them are still open, or run.
    if (random() % 3 == 0)
      calls[static_cast<size_t>(i) - random() % std::min(static_cast<size_t>(i) + 1, size_t{50})]
          .token.Cancel();
  }
  for (Call& call : calls) {
    while (call.answers.load() == 0) std::this_thread::yield();
  }
  for (Call& call : calls) EXPECT_EQ(call.answers.load(), 1);
}

// With threads. The requests leave nothing behind.
void RunAnyMixture(const BatchSettings& settings, size_t rows_max) {
  constexpr int kClients = 4, kRequests = 2500;
  MetricsRegistry metrics;
  core::Manager manager{{}};
  schedule::Scheduler scheduler({.compute_slots = 2});
  constexpr uint64_t kBudget = uint64_t{1} << 30;
  const auto budget =
      std::make_shared<RequestAllowance>(kBudget, metrics.AddCounter("refusals", ""));
  Engine engine({.request_budget = budget}, manager, scheduler);
  std::atomic<int64_t> largest{0};
  ModelInfo info = DoublerInfo();
  ASSERT_TRUE(ServeFakeModel(manager, metrics, "m", [&] {
                return std::make_unique<FakeModel>(
                    info, [&](const InferRequest& request, ResponseCallback done) {
                      largest =
                          std::max<int64_t>(largest, request.inputs.front().tensor.shape().dim(0));
                      done(Double(request));
                    });
              }).ok());
  ModelHandle handle = *engine.Find({.name = "m", .version = {}, .label = {}});
  {
    auto& served = Served(*manager.GetHandle("m", std::nullopt));
    auto batcher = std::make_unique<ModelBatcher>(served.info(),
                                                  BatcherOptions{{"m", {1}}, settings}, metrics);
    for (uint32_t i = 0; i < 2; ++i)
      batcher->TurnOn(i, *PadPlan::Make(served.info().signatures[i], settings.pad));
    served.SetBatcher(std::move(batcher), /*runs=*/1);
  }
  std::vector<std::thread> clients;
  for (unsigned i = 0; i < kClients; ++i)
    clients.emplace_back([&, i] { RunClient(engine, handle, kRequests, rows_max, i); });
  for (std::thread& each : clients) each.join();
  EXPECT_GT(largest.load(), 4) << "nothing ran together";
  // A thread ends its run after the answer.
  while (scheduler.slots_taken() > 0) std::this_thread::yield();
  for (const schedule::QueueState& state : scheduler.States()) {
    EXPECT_EQ(state.requests, 0U);
    EXPECT_EQ(state.bytes, 0U);
    EXPECT_EQ(state.runs, 0U);
  }
  EXPECT_EQ(budget->left(), kBudget);
}

TEST(BatchRunStressTest, TenThousandRequestsGetTheirOwnAnswersOnce) { RunAnyMixture({}, 4); }

TEST(BatchRunStressTest, EverySplitRequestGetsItsOwnAnswerOnce) {
  RunAnyMixture({.rows_max = 5, .splits = true}, 20);
}

TEST(BatchRunStressTest, EveryPaddedRequestGetsItsOwnAnswerOnce) {
  RunAnyMixture({.rows_max = 5, .allowed_rows = {3, 5}, .splits = true, .pad = kPadX}, 10);
}

// An event loop runs cheap models itself.
class TurnTest : public BatchRunTest {
 protected:
  // Each run takes the same time, so the more rows the better.
  TurnTest() : before_(TurnEnd::SetCurrent(&turn_)) { SetRunTime(std::chrono::microseconds(20)); }
  ~TurnTest() override { TurnEnd::SetCurrent(before_); }

  void SetRunTime(Duration time) {
    run_ = [this, time](const InferRequest& request, ResponseCallback done) {
      clock_.Advance(time);
      done(Double(request));
    };
  }
  // The model becomes cheap by its first runs.
  void ServeCheap(int64_t rows_max = kBatchRowsMax) {
    Serve(rows_max);
    const ServedModel& served = Served(*manager_.GetHandle("m", std::nullopt));
    while (!served.MayRunInline(RequestSize::kSmall)) {
      Send(Request({0}));
      scheduler_.RunQueued();
    }
    // The limit of a batch grows with each larger one.
    for (int64_t rows = 1; rows <= rows_max; rows *= 2)
      batcher_->Record({.signature = 0, .rows = rows}, {.time = std::chrono::microseconds(20)});
    seen_.clear();
    outcomes_.clear();
  }

  TurnEnd turn_;

 private:
  TurnEnd* const before_;
};

TEST_F(TurnTest, RequestsOfOneTurnRunTogetherAtItsEnd) {
  ServeCheap();
  const Outcome& a = Send(Request({1, 2}));
  const Outcome& b = Send(Request({3}));
  EXPECT_THAT(seen_, IsEmpty());
  turn_.Run();
  EXPECT_THAT(seen_, ElementsAre(3));
  EXPECT_THAT(a.values, ElementsAre(2, 4));
  EXPECT_THAT(b.values, ElementsAre(6));
  const Outcome& c = Send(Request({4}));
  turn_.Run();
  EXPECT_THAT(seen_, ElementsAre(3, 1));
  EXPECT_THAT(c.values, ElementsAre(8));
}

TEST_F(TurnTest, FullBatchRunsBeforeTheEndOfTheTurn) {
  ServeCheap(/*rows_max=*/4);
  for (float value : {1.f, 2.f, 3.f, 4.f, 5.f}) Send(Request({value}));
  EXPECT_THAT(seen_, ElementsAre(4));
  turn_.Run();
  EXPECT_THAT(seen_, ElementsAre(4, 1));
}

TEST_F(TurnTest, RequestsThatDoNotFitRunApart) {
  ServeCheap();
  const Outcome& narrow = Send(Request({1}));
  const Outcome& wide = Send(Request({2}, /*width=*/2));
  Send(Request({3}));
  turn_.Run();
  EXPECT_THAT(seen_, ElementsAre(2, 1));
  EXPECT_THAT(narrow.values, ElementsAre(2));
  EXPECT_THAT(wide.values, ElementsAre(4, 4));
}

TEST_F(TurnTest, RequestCancelledWithinTheTurnDoesNotRun) {
  ServeCheap();
  CancelToken cancel;
  InferRequest request = Request({1});
  request.cancel = &cancel;
  const Outcome& cancelled = Send(std::move(request));
  const Outcome& other = Send(Request({2}));
  cancel.Cancel();
  turn_.Run();
  EXPECT_EQ(cancelled.status.code(), StatusCode::kCancelled);
  EXPECT_THAT(seen_, ElementsAre(1));
  EXPECT_THAT(other.values, ElementsAre(4));
}

TEST_F(TurnTest, FailingRequestFailsNoOther) {
  ServeCheap();
  const Outcome& bad = Send(Request({-1}));
  const Outcome& good = Send(Request({2}));
  turn_.Run();
  RunAll();  // each has its second try in the queue
  EXPECT_EQ(bad.status.code(), StatusCode::kInvalidArgument);
  EXPECT_THAT(good.values, ElementsAre(4));
}

TEST_F(TurnTest, ModelThatHardlyTakesTimeRunsAtOnce) {
  SetRunTime(std::chrono::nanoseconds(200));
  Serve();
  while (!Served(*manager_.GetHandle("m", std::nullopt)).MayRunInline(RequestSize::kSmall)) {
    Send(Request({0}));
    scheduler_.RunQueued();
  }
  EXPECT_FALSE(batcher_->JoinsInTurns());
  EXPECT_THAT(Send(Request({1})).values, ElementsAre(2));
}

TEST_F(TurnTest, OnAnyOtherThreadRequestsRunAtOnce) {
  ServeCheap();
  TurnEnd::SetCurrent(nullptr);
  EXPECT_THAT(Send(Request({1})).values, ElementsAre(2));
}

}  // namespace
}  // namespace penstock::batch
