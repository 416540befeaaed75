// SPDX-License-Identifier: Apache-2.0
#include "ensemble/ensemble_run.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <thread>

#include "ensemble/ensemble_fixture.h"
#include "schedule/retry_hint.h"

namespace penstock::ensemble {
namespace {

using std::chrono::seconds;
using testing::HasSubstr;

class EnsembleRunTest : public EnsembleFixture {
 protected:
  using EnsembleFixture::EnsembleFixture;
  EnsembleRunTest() = default;

  // x -> one -> t -> two -> y
  static Graph Chain() {
    return {.inputs = {"x"},
            .outputs = {"y"},
            .steps = {MakeStep("one", "x", "t"), MakeStep("two", "t", "y")}};
  }
  // x -> left, right -> sum -> y, with "left" and "right" late.
  void ServeFork() {
    ServeLate("left", left_);
    ServeLate("right", right_);
    ModelInfo info = VectorInfo({"a", "b"}, {"y"});
    info.traits.answers_in_run = true;
    Serve("sum", info, [](const InferRequest& request, ResponseCallback done) {
      std::vector<int64_t> a = ValuesOf(request.inputs[0].tensor);
      const std::vector<int64_t> b = ValuesOf(request.inputs[1].tensor);
      for (size_t i = 0; i < a.size(); ++i) a[i] += b[i];
      InferResponse response;
      response.outputs.push_back({"y", MakeVector(a)});
      done(std::move(response));
    });
    const Graph graph = {.inputs = {"x"},
                         .outputs = {"y"},
                         .steps = {MakeStep("left", "x", "l"),
                                   MakeStep("right", "x", "r"),
                                   {.name = "sum",
                                    .model = {.name = "sum"},
                                    .inputs = {{"a", "l"}, {"b", "r"}},
                                    .outputs = {{"y", "y"}}}}};
    ASSERT_TRUE(ServeGraph(graph).ok());
    request_.cancel = &cancel_;
  }

  std::vector<Pending> left_, right_;
};

class EnsembleOneSlotTest : public EnsembleRunTest {
 protected:
  EnsembleOneSlotTest()
      : EnsembleRunTest({.compute_slots = 1, .threads = schedule::PoolThreads::kNone}) {}
};

TEST_F(EnsembleRunTest, PassesTensorsFromStepToStep) {
  ServeAdder("one", 1);
  ServeAdder("two", 2);
  ASSERT_TRUE(ServeGraph(Chain()).ok());
  Send({{"x", MakeVector({1, 2})}});
  RunQueued();
  EXPECT_EQ(Output("y"), (std::vector<int64_t>{4, 5}));
  EXPECT_EQ(handle_->info().platform, "ensemble");
}

TEST_F(EnsembleRunTest, CopiesNoElements) {
  ModelInfo info = VectorInfo({"x"}, {"x"});
  info.traits = {.any_signature = true, .answers_in_run = true};
  Serve("any", info, [](const InferRequest& request, ResponseCallback done) {
    InferResponse response;
    response.outputs = request.inputs;
    done(std::move(response));
  });
  std::vector<Pending> pending;
  ServeLate("late", pending);
  const Graph graph = {.inputs = {"x"},
                       .outputs = {"t", "y"},
                       .steps = {{.name = "any",
                                  .model = {.name = "any"},
                                  .inputs = {{"a", "x"}},
                                  .outputs = {{"a", "t"}}},
                                 MakeStep("late", "t", "y")}};
  ASSERT_TRUE(ServeGraph(graph).ok());
  const Tensor x = MakeVector({1, 2, 3});
  Send({{"x", x}});
  RunQueued();
  ASSERT_EQ(pending.size(), 1U);
  EXPECT_EQ(pending[0].request->inputs[0].tensor.data(), x.data());
  pending[0].Answer({7});
  EXPECT_EQ(answer_->outputs[0].tensor.data(), x.data());
  EXPECT_EQ(Output("y"), std::vector<int64_t>{7});
}

TEST_F(EnsembleRunTest, StepsRunAsSoonAsTheirInputsAreThere) {
  ServeFork();
  Send({{"x", MakeVector({1})}});
  RunQueued();
  ASSERT_EQ(left_.size(), 1U);
  ASSERT_EQ(right_.size(), 1U);  // beside the other one
  right_[0].Answer({20});
  RunQueued();
  EXPECT_FALSE(answer_.has_value());
  left_[0].Answer({10});
  RunQueued();
  EXPECT_EQ(Output("y"), std::vector<int64_t>{30});
}

TEST_F(EnsembleRunTest, GivesOnlyTheOutputsThatAreAskedFor) {
  ServeAdder("one", 1);
  ServeAdder("two", 2);
  Graph graph = Chain();
  graph.outputs = {"t", "y"};
  ASSERT_TRUE(ServeGraph(graph).ok());
  request_.output_filter = {"t"};
  Send({{"x", MakeVector({1})}});
  RunQueued();
  EXPECT_EQ(Output("t"), std::vector<int64_t>{2});
  EXPECT_EQ(answer_->outputs.size(), 1U);
}

TEST_F(EnsembleRunTest, RunsOnlyTheStepsThatAWantedOutputNeeds) {
  std::vector<std::string> runs;
  const auto serve = [&](const std::string& name, bool has_side_effects) {
    ModelInfo info = VectorInfo({"x"}, {"y"});
    info.traits.has_side_effects = has_side_effects;
    Serve(name, info, [&runs, name](const InferRequest& request, ResponseCallback done) {
      runs.push_back(name);
      InferResponse response;
      response.outputs.push_back({"y", request.inputs[0].tensor});
      done(std::move(response));
    });
  };
  for (const char* name : {"first", "wanted", "unwanted"}) serve(name, false);
  serve("log", true);
  const Graph graph{.inputs = {"x"},
                    .outputs = {"a", "b", "c"},
                    .steps = {MakeStep("first", "x", "t"), MakeStep("wanted", "t", "a"),
                              MakeStep("unwanted", "t", "b"), MakeStep("log", "t", "c")}};
  ASSERT_TRUE(ServeGraph(graph).ok());
  request_.output_filter = {"a"};
  Send({{"x", MakeVector({1})}});
  RunQueued();
  EXPECT_EQ(Output("a"), std::vector<int64_t>{1});
  EXPECT_THAT(runs, testing::UnorderedElementsAre("first", "wanted", "log"));
}

TEST_F(EnsembleRunTest, EachStepCountsOnceForItsModelAndIsNoted) {
  ServeAdder("one", 1);
  ServeAdder("two", 2);
  ASSERT_TRUE(ServeGraph(Chain(), "inner").ok());
  Graph outer = Chain();
  outer.steps[0].model.name = "inner";
  ASSERT_TRUE(ServeGraph(outer).ok());
  StageTimes times;
  std::vector<StepTimes> steps;
  request_.times = &times;
  request_.steps = &steps;
  Send({{"x", MakeVector({1})}});
  RunQueued();
  EXPECT_EQ(Output("y"), std::vector<int64_t>{6});
  std::vector<std::string> lines;
  for (const StepTimes& step : steps) {
    lines.push_back(fmt::format("{} {} {} {}", step.depth, step.name, step.model, step.version));
    EXPECT_GE(step.times.run_end, step.times.run_start);
  }
  EXPECT_THAT(lines,
              testing::ElementsAre("0 one inner 1", "1 one one 1", "1 two two 1", "0 two two 1"));
  EXPECT_GT(times.steps_queued, Duration::zero());
  const std::string text = metrics_.Text();
  for (const auto& [model, runs] : {std::pair("one", 1), {"two", 2}, {"inner", 1}}) {
    const std::string labels = fmt::format("model_name=\"{}\",model_version=\"1\"", model);
    EXPECT_THAT(text,
                HasSubstr(fmt::format("penstock_stage_latency_us_count{{{},stage=\"run\"}} {}\n",
                                      labels, runs)));
    EXPECT_EQ(text.find(fmt::format("runtime_latency_count{{{}", labels)) == std::string::npos,
              std::string_view(model) == "inner");
  }
  EXPECT_THAT(text, HasSubstr("penstock_stage_latency_us_count{model_name=\"two\","
                              "model_version=\"1\",stage=\"queue\"} 2\n"));
}

TEST_F(EnsembleRunTest, AsksAModelOnlyForTheOutputsThatItNeeds) {
  OutputFilter asked;
  Serve("many", VectorInfo({"x"}, {"a", "b", "c"}),
        [&](const InferRequest& request, ResponseCallback done) {
          asked = request.output_filter;
          InferResponse response;
          response.outputs.push_back({"c", MakeVector({3})});
          response.outputs.push_back({"a", MakeVector({1})});
          done(std::move(response));
        });
  const Graph graph = {.inputs = {"x"},
                       .outputs = {"one", "three"},
                       .steps = {{.name = "many",
                                  .model = {.name = "many"},
                                  .inputs = {{"x", "x"}},
                                  .outputs = {{"a", "one"}, {"c", "three"}}}}};
  ASSERT_TRUE(ServeGraph(graph).ok());
  Send({{"x", MakeVector({1})}});
  RunQueued();
  EXPECT_EQ(asked, (OutputFilter{"a", "c"}));
  EXPECT_EQ(Output("one"), std::vector<int64_t>{1});
  EXPECT_EQ(Output("three"), std::vector<int64_t>{3});
}

TEST_F(EnsembleRunTest, InputsThatAreLeftOutAreLeftOutOfTheStep) {
  ModelInfo info = VectorInfo({"w", "x"}, {"y"});
  info.signatures[0].inputs[0].optional = true;
  size_t inputs = 0;
  Serve("m", info, [&](const InferRequest& request, ResponseCallback done) {
    inputs = request.inputs.size();
    InferResponse response;
    response.outputs.push_back({"y", request.inputs.back().tensor});
    done(std::move(response));
  });
  const Graph graph = {.inputs = {"w", "x"},
                       .outputs = {"y"},
                       .steps = {{.name = "m",
                                  .model = {.name = "m"},
                                  .inputs = {{"w", "w"}, {"x", "x"}},
                                  .outputs = {{"y", "y"}}}}};
  ASSERT_TRUE(ServeGraph(graph).ok());
  Send({{"x", MakeVector({1})}});
  RunQueued();
  EXPECT_EQ(Output("y"), std::vector<int64_t>{1});
  EXPECT_EQ(inputs, 1U);
  Send({{"w", MakeVector({5})}, {"x", MakeVector({1})}});
  RunQueued();
  EXPECT_EQ(inputs, 2U);
}

TEST_F(EnsembleRunTest, AFailedStepNamesItselfAndEndsTheOthers) {
  ServeFork();
  Send({{"x", MakeVector({1})}});
  RunQueued();
  AnswerError(left_.at(0).done, absl::InternalError("no luck"));
  EXPECT_FALSE(answer_.has_value());  // the other step still uses the request
  EXPECT_TRUE(right_.at(0).request->cancel->IsCancelled());
  EXPECT_FALSE(cancel_.IsCancelled());
  AnswerError(right_.at(0).done, absl::CancelledError("the request was cancelled"));
  EXPECT_EQ(Error(), absl::InternalError("step 'left' (left version 1): no luck"));
  EXPECT_TRUE(answer_->outputs.empty());
}

TEST_F(EnsembleOneSlotTest, AFailedStepEndsThoseThatWaitInAQueue) {
  ServeFork();
  Send({{"x", MakeVector({1})}});
  RunQueued();
  ASSERT_EQ(left_.size(), 1U);
  EXPECT_EQ(scheduler_.queue_length(), 1U);  // "right" waits for the slot
  AnswerError(left_[0].done, absl::InternalError("no luck"));
  EXPECT_EQ(scheduler_.queue_length(), 0U);
  EXPECT_EQ(Error(), absl::InternalError("step 'left' (left version 1): no luck"));
}

TEST_F(EnsembleRunTest, ACancelReachesEveryStep) {
  ServeFork();
  Send({{"x", MakeVector({1})}});
  RunQueued();
  cancel_.Cancel(CancelReason::kDeadline);
  for (auto* pending : {&left_, &right_}) {
    ASSERT_EQ(pending->size(), 1U);
    EXPECT_TRUE(pending->at(0).request->cancel->HasExpired());
    EXPECT_FALSE(answer_.has_value());
    AnswerError(pending->at(0).done, absl::DeadlineExceededError("late"));
  }
  EXPECT_EQ(Error().code(), StatusCode::kDeadlineExceeded);
}

TEST_F(EnsembleRunTest, ACancelTakesStepsOutOfTheirQueues) {
  ServeFork();
  Send({{"x", MakeVector({1})}});
  EXPECT_EQ(scheduler_.queue_length(), 2U);
  cancel_.Cancel();
  EXPECT_EQ(scheduler_.queue_length(), 0U);
  EXPECT_EQ(Error().code(), StatusCode::kCancelled);
  EXPECT_THAT(std::string(Error().message()), HasSubstr("step '"));
}

TEST_F(EnsembleRunTest, ACancelBeforeTheStartRunsNothing) {
  ServeFork();
  cancel_.Cancel();
  Send({{"x", MakeVector({1})}});
  RunQueued();
  EXPECT_TRUE(left_.empty() && right_.empty());
  EXPECT_EQ(Error().code(), StatusCode::kCancelled);
}

TEST_F(EnsembleRunTest, ALoneStepHasTheTokenOfTheRequest) {
  std::vector<Pending> pending;
  ServeLate("late", pending);
  ASSERT_TRUE(
      ServeGraph({.inputs = {"x"}, .outputs = {"y"}, .steps = {MakeStep("late", "x", "y")}}).ok());
  request_.cancel = &cancel_;
  request_.deadline = Clock::Real().Now() + seconds(1000);
  request_.request_id = 7;
  Send({{"x", MakeVector({1})}});
  RunQueued();
  ASSERT_EQ(pending.size(), 1U);
  EXPECT_EQ(pending[0].request->cancel, &cancel_);
  EXPECT_EQ(pending[0].request->deadline, request_.deadline);
  EXPECT_EQ(pending[0].request->request_id, 7U);
  pending[0].Answer({1});
  EXPECT_EQ(Output("y"), std::vector<int64_t>{1});
}

TEST_F(EnsembleRunTest, ADeadlineReachesEveryStep) {
  ServeFork();
  request_.deadline = Clock::Real().Now() + seconds(1000);
  Send({{"x", MakeVector({1})}});
  RunQueued();
  EXPECT_EQ(left_.at(0).request->deadline, request_.deadline);
  EXPECT_EQ(right_.at(0).request->deadline, request_.deadline);
  left_[0].Answer({1});
  right_[0].Answer({2});
  RunQueued();
  request_.deadline = Clock::Real().Now() - seconds(1);
  Send({{"x", MakeVector({1})}});
  EXPECT_EQ(Error().code(), StatusCode::kDeadlineExceeded);
}

TEST_F(EnsembleRunTest, AModelThatIsGoneIsUnavailableAndNamesTheStep) {
  ServeAdder("one", 1);
  ServeAdder("two", 2);
  ASSERT_TRUE(ServeGraph(Chain()).ok());
  ASSERT_TRUE(manager_.RemoveModel("two").ok());
  Send({{"x", MakeVector({1})}});
  EXPECT_EQ(Error(),
            absl::UnavailableError("step 'two': Servable not found for request: Latest(two)"));
}

TEST_F(EnsembleRunTest, AModelThatIsNotThereFailsTheLoad) {
  ServeAdder("one", 1);
  EXPECT_EQ(ServeGraph(Chain()).code(), StatusCode::kUnavailable);
  EXPECT_THAT(std::string(ServeGraph(Chain()).message()),
              HasSubstr("step 'two': Servable not found for request: Latest(two)"));
  ServeAdder("two", 2);
  EXPECT_TRUE(manager_.WaitFor(
      [&] { return engine_.Find({.name = "e", .version = {}, .label = {}}).ok(); }));
}

TEST_F(EnsembleRunTest, ANewVersionTakesPartAtOnce) {
  ServeAdder("one", 1);
  ServeAdder("two", 2);
  ASSERT_TRUE(ServeGraph(Chain()).ok());
  ServeAdder("two", 20, 2);
  Send({{"x", MakeVector({1})}});
  RunQueued();
  EXPECT_EQ(Output("y"), std::vector<int64_t>{22});
}

TEST_F(EnsembleRunTest, ARequestKeepsItsVersions) {
  ServeFork();
  Send({{"x", MakeVector({1})}});
  RunQueued();
  left_.at(0).Answer({1});
  // The request has begun with version 1, and "sum" has not run yet.
  std::thread swap([this] {
    ModelInfo info = VectorInfo({"a", "b"}, {"y"});
    ASSERT_TRUE(manager_.SetModel({.name = "sum"}).ok());
    std::vector<core::AspiredVersion> versions;
    versions.push_back({{2},
                        std::make_unique<FakeModelLoader>(
                            core::ServableId{"sum", {2}},
                            [info] {
                              return std::make_unique<FakeModel>(
                                  info, [](const InferRequest&, ResponseCallback done) {
                                    AnswerError(done, absl::InternalError("version 2"));
                                  });
                            },
                            metrics_)});
    manager_.SetAspired("sum", std::move(versions));
    manager_.WaitFor([this] { return manager_.GetHandle("sum")->id().version.value == 2; });
  });
  swap.join();
  right_.at(0).Answer({2});
  RunQueued();
  EXPECT_EQ(Output("y"), std::vector<int64_t>{3});
}

TEST_F(EnsembleRunTest, StepsCanBeEnsembles) {
  ServeAdder("one", 1);
  ServeAdder("two", 2);
  ASSERT_TRUE(ServeGraph(Chain(), "inner").ok());
  Graph outer = Chain();
  outer.steps[0].model.name = "inner";
  ASSERT_TRUE(ServeGraph(outer).ok()) << Error();
  // As said of "x" and "y", which the inner one calls so too.
  Send({{"x", MakeVector({1})}});
  RunQueued();
  EXPECT_EQ(Output("y"), std::vector<int64_t>{6});
  manager_.RemoveModel("one").IgnoreError();
  Send({{"x", MakeVector({1})}});
  RunQueued();
  EXPECT_EQ(Error(), absl::UnavailableError("step 'one' (inner version 1): step 'one': Servable "
                                            "not found for request: Latest(one)"));
}

TEST_F(EnsembleRunTest, ModelsThatAnswerInPartsAreNoSteps) {
  Serve("parts", VectorInfo({"x"}, {"y"}), [](const InferRequest&, ResponseCallback done) {
    InferResponse part;
    part.is_last = false;
    done(std::move(part));
    done({});
  });
  ASSERT_TRUE(
      ServeGraph({.inputs = {"x"}, .outputs = {"y"}, .steps = {MakeStep("parts", "x", "y")}}).ok());
  Send({{"x", MakeVector({1})}});
  RunQueued();
  EXPECT_EQ(Error(),
            absl::UnimplementedError("step 'parts' (parts version 1): the model answers in "
                                     "several parts, which no step can take"));
}

TEST_F(EnsembleRunTest, AnOutputThatDoesNotComeIsAnError) {
  Serve("empty", VectorInfo({"x"}, {"y"}),
        [](const InferRequest&, ResponseCallback done) { done({}); });
  ASSERT_TRUE(
      ServeGraph({.inputs = {"x"}, .outputs = {"y"}, .steps = {MakeStep("empty", "x", "y")}}).ok());
  Send({{"x", MakeVector({1})}});
  RunQueued();
  EXPECT_EQ(Error(),
            absl::InternalError("step 'empty' (empty version 1): the model gave no output 'y'"));
}

TEST_F(EnsembleRunTest, TensorsAreCheckedBetweenSteps) {
  std::vector<Pending> pending;
  ServeLate("late", pending);
  ModelInfo info = VectorInfo({"x"}, {"y"});
  info.signatures[0].inputs[0].shape = {2};
  Serve("two", info, [](const InferRequest&, ResponseCallback) {});
  ASSERT_TRUE(ServeGraph({.inputs = {"x"},
                          .outputs = {"y"},
                          .steps = {MakeStep("late", "x", "t"), MakeStep("two", "t", "y")}})
                  .ok());
  Send({{"x", MakeVector({1})}});
  RunQueued();
  pending.at(0).Answer({1, 2, 3});
  EXPECT_EQ(Error(), absl::InvalidArgumentError(
                         "step 'two' (two version 1): input \"x\": got shape [3], expected [2]"));
}

TEST_F(EnsembleRunTest, AFullQueueSaysWhenToTryAgain) {
  scheduler_.SetModels({{"late", {.flow = {.items_max = 1}}}});
  std::vector<Pending> pending;
  ServeLate("late", pending);
  ASSERT_TRUE(
      ServeGraph({.inputs = {"x"}, .outputs = {"y"}, .steps = {MakeStep("late", "x", "y")}}).ok());
  InferRequest first;
  first.inputs.push_back({"x", MakeVector({1})});
  const ModelHandle handle = *engine_.Find({.name = "e", .version = {}, .label = {}});
  engine_.Run(handle, first, true, [](InferResponse&&) {});
  Send({{"x", MakeVector({1})}});
  EXPECT_EQ(Error().code(), StatusCode::kUnavailable);
  EXPECT_THAT(std::string(Error().message()), HasSubstr("step 'late' (late version 1): "));
  EXPECT_TRUE(schedule::RetryHintOf(Error()).has_value());
  RunQueued();
  pending.at(0).Answer({1});
}

TEST_F(EnsembleRunTest, AManyStepChainOfCheapModelsNeedsLittleStack) {
  ModelInfo info = VectorInfo({"x"}, {"y"});
  info.traits.answers_in_run = true;
  const char* lowest = nullptr;
  const char* highest = nullptr;
  Serve("m", info, [&](const InferRequest& request, ResponseCallback done) {
    const char here = 0;
    lowest = lowest == nullptr ? &here : std::min(lowest, &here);
    highest = std::max(highest, &here);
    InferResponse response;
    response.outputs.push_back({"y", request.inputs[0].tensor});
    done(std::move(response));
  });
  Graph graph = {.inputs = {"t0"}, .outputs = {"t100"}};
  for (int i = 0; i < 100; ++i) {
    graph.steps.push_back(MakeStep("m", fmt::format("t{}", i), fmt::format("t{}", i + 1)));
    graph.steps.back().name = fmt::format("s{}", i);
  }
  ASSERT_TRUE(ServeGraph(graph).ok());
  for (int i = 0; i < 3; ++i) {
    Send({{"t0", MakeVector({1})}});
    RunQueued();
  }
  // By now the model runs inline, as far as the time allows.
  lowest = highest = nullptr;
  Send({{"t0", MakeVector({1})}});
  RunQueued();
  EXPECT_EQ(Output("t100"), std::vector<int64_t>{1});
  EXPECT_LT(highest - lowest, 10'000);
}

}  // namespace
}  // namespace penstock::ensemble
