// SPDX-License-Identifier: Apache-2.0
#include "cells/cell_model.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <deque>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "base/sanitized.h"
#include "cells/cell_fake.h"

namespace penstock::cells {
namespace {

using std::chrono::milliseconds;
using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

// Keeps tasks until the test runs them.
class ManualExecutor final : public Executor {
 public:
  bool Submit(Task task) override {
    if (is_full) return false;
    tasks_.push_back(std::move(task));
    return true;
  }
  // Returns false if there was none.
  bool RunOne() {
    if (tasks_.empty()) return false;
    Task task = std::move(tasks_.front());
    tasks_.pop_front();
    task();
    return true;
  }
  void RunAll() {
    while (RunOne()) {
    }
  }
  bool is_full = false;

 private:
  std::deque<Task> tasks_;
};

template <typename T>
Tensor TensorOf(DType type, Shape shape, const std::vector<T>& values) {
  Tensor tensor = *Tensor::Allocate(type, std::move(shape));
  std::ranges::copy(values, tensor.mutable_as<T>().begin());
  return tensor;
}

Tensor Floats(Shape shape, const std::vector<float>& values) {
  return TensorOf(DType::kFloat32, std::move(shape), values);
}

Tensor Ints(const std::vector<int64_t>& values) {
  return TensorOf(DType::kInt64, Shape{static_cast<int64_t>(values.size())}, values);
}

// A request and its answer, once it is there.
struct Call {
  InferRequest request;
  CancelToken cancel;
  std::optional<InferResponse> answer;

  const Tensor& output(std::string_view name) const {
    for (const NamedTensor& output : answer->outputs)
      if (output.name == name) return output.tensor;
    ADD_FAILURE() << "no output " << name;
    static const Tensor none;
    return none;
  }
  std::vector<float> floats(std::string_view name) const {
    const auto values = output(name).as<float>();
    return {values.begin(), values.end()};
  }
  std::vector<int64_t> ints(std::string_view name) const {
    const auto values = output(name).as<int64_t>();
    return {values.begin(), values.end()};
  }
  std::string error() const {
    return answer ? std::string(MessageOf(answer->status)) : "no answer";
  }
};

class CellModelTest : public ::testing::Test {
 protected:
  // The rows of each step are kept in step_rows_.
  std::unique_ptr<CellModel> MakeModel(CellSettings settings = FakeCellSettings()) {
    return MakeModel(std::move(settings),
                     [this](const InferRequest& request, ResponseCallback done) {
                       step_rows_.push_back(InputOf(request, "x")->shape().dim(0));
                       h_inputs_.push_back(InputOf(request, "h")->data());
                       InferResponse answer = RunFakeCell(request);
                       if (answer.status.ok())
                         h_outputs_.push_back(answer.outputs[1].tensor.data());
                       done(std::move(answer));
                     });
  }
  std::unique_ptr<CellModel> MakeModel(CellSettings settings, FakeModel::RunFunction run) {
    return std::make_unique<CellModel>(std::make_unique<FakeModel>(FakeCellInfo(), std::move(run)),
                                       CellModelOptions{.id = {"m", {1}},
                                                        .settings = std::move(settings),
                                                        .executor = executor_,
                                                        .clock = clock_},
                                       metrics_);
  }

  std::unique_ptr<Call> Start(Model& model, NamedTensors inputs, OutputFilter filter = {}) {
    auto call = std::make_unique<Call>();
    call->request.inputs = std::move(inputs);
    call->request.output_filter = std::move(filter);
    call->request.cancel = &call->cancel;
    call->request.deadline = deadline_;
    // As in the server, every request has been checked.
    const Status status = CheckRequest(model.info(), call->request);
    EXPECT_TRUE(status.ok()) << status;
    model.Run(call->request, [&answer = call->answer](InferResponse&& part) {
      EXPECT_TRUE(part.is_last && !answer.has_value());
      answer = std::move(part);
    });
    return call;
  }
  std::unique_ptr<Call> RunAll(Model& model, NamedTensors inputs, OutputFilter filter = {}) {
    auto call = Start(model, std::move(inputs), std::move(filter));
    executor_->RunAll();
    EXPECT_TRUE(call->answer.has_value());
    return call;
  }

  FakeClock clock_;
  SteadyTime deadline_ = kNoDeadline;
  MetricsRegistry metrics_;
  std::shared_ptr<ManualExecutor> executor_ = std::make_shared<ManualExecutor>();
  std::vector<int64_t> step_rows_;
  std::vector<const std::byte*> h_inputs_, h_outputs_;
};

TEST_F(CellModelTest, RunsASequenceStepByStep) {
  const auto model = MakeModel();
  const auto call = RunAll(*model, {{"x", Floats({1, 3, 2}, {4, 8, 2, 2, 1, 0})}});
  ASSERT_TRUE(call->answer->status.ok()) << call->answer->status;
  EXPECT_EQ(call->output("y").shape(), (Shape{1, 3, 2}));
  EXPECT_THAT(call->floats("y"), ElementsAre(4, 8, 5, 7, 5, 5));
  EXPECT_THAT(call->floats("h1"), ElementsAre(3, 3));
  EXPECT_EQ(call->output("h1").shape(), (Shape{1, 2}));
  EXPECT_THAT(call->ints("n1"), ElementsAre(3));
  EXPECT_THAT(call->ints("steps"), ElementsAre(3));
  EXPECT_THAT(step_rows_, ElementsAre(1, 1, 1));
}

TEST_F(CellModelTest, ShorterSequencesLeaveAndHaveZerosBehindThem) {
  const auto model = MakeModel();
  const auto call = RunAll(*model, {{"x", Floats({3, 2, 2}, {1, 1, 2, 2, 3, 3, 9, 9, 5, 5, 6, 6})},
                                    {"lengths", Ints({2, 1, 0})},
                                    {"n", Ints({0, 10, 20})}});
  ASSERT_TRUE(call->answer->status.ok()) << call->answer->status;
  EXPECT_THAT(call->floats("y"), ElementsAre(1, 1, 3.5, 3.5, 13, 13, 0, 0, 0, 0, 0, 0));
  EXPECT_THAT(call->floats("h1"), ElementsAre(2.5, 2.5, 3, 3, 0, 0));
  EXPECT_THAT(call->ints("n1"), ElementsAre(2, 11, 20));
  EXPECT_THAT(call->ints("steps"), ElementsAre(2, 1, 0));
  EXPECT_THAT(step_rows_, ElementsAre(2, 1));
}

TEST_F(CellModelTest, SequencesEndWhereTheyStop) {
  const auto model = MakeModel();
  const auto call =
      RunAll(*model, {{"x", Floats({2, 3, 2}, {1, 1, 99, 0, 5, 5, 1, 1, 1, 1, 1, 1})}});
  ASSERT_TRUE(call->answer->status.ok()) << call->answer->status;
  EXPECT_THAT(call->ints("steps"), ElementsAre(2, 3));
  EXPECT_THAT(call->floats("y"), ElementsAre(1, 1, 100.5, 1.5, 0, 0, 1, 1, 2.5, 2.5, 3.75, 3.75));
  EXPECT_THAT(step_rows_, ElementsAre(2, 2, 1));
}

TEST_F(CellModelTest, SequencesJoinWhileOthersRun) {
  const auto model = MakeModel();
  const auto a = Start(*model, {{"x", Floats({1, 3, 2}, {4, 8, 2, 2, 1, 0})}});
  executor_->RunOne();
  const auto b = Start(*model, {{"x", Floats({1, 1, 2}, {7, 7})}, {"h", Floats({1, 2}, {2, 4})}});
  executor_->RunOne();
  EXPECT_FALSE(a->answer.has_value());
  ASSERT_TRUE(b->answer.has_value());
  EXPECT_THAT(b->floats("y"), ElementsAre(8, 9));
  executor_->RunAll();
  EXPECT_THAT(a->floats("y"), ElementsAre(4, 8, 5, 7, 5, 5));
  EXPECT_THAT(step_rows_, ElementsAre(1, 2, 1));
}

// While the same sequences go on together, a step takes the answer to the last one as it is.
TEST_F(CellModelTest, StatesOfSequencesThatStayTogetherAreNotCopied) {
  const auto model = MakeModel();
  const auto call = RunAll(
      *model, {{"x", Floats({3, 3, 2}, std::vector<float>(18, 1))}, {"lengths", Ints({3, 3, 2})}});
  ASSERT_EQ(h_inputs_.size(), 3U);
  EXPECT_EQ(h_inputs_[1], h_outputs_[0]);
  EXPECT_EQ(h_inputs_[2], h_outputs_[1]);  // the first two rows of three
}

TEST_F(CellModelTest, AStepThatFailsOnlyEndsItsOwnSequence) {
  const auto model = MakeModel();
  const auto good = Start(*model, {{"x", Floats({2, 2, 2}, {1, 1, 1, 1, 2, 2, 2, 2})}});
  const auto bad = Start(*model, {{"x", Floats({2, 2, 2}, {1, 1, -1, 1, 2, 2, 2, 2})}});
  executor_->RunAll();
  EXPECT_EQ(bad->error(), "a negative x");
  ASSERT_TRUE(good->answer && good->answer->status.ok());
  EXPECT_THAT(good->floats("y"), ElementsAre(1, 1, 2.5, 2.5, 2, 2, 4, 4));
  EXPECT_THAT(metrics_.Text(), HasSubstr("penstock_cell_retried_steps_total{model_name=\"m\","
                                         "model_version=\"1\"} 4"));
  EXPECT_THAT(metrics_.Text(), HasSubstr("penstock_cell_sequences{model_name=\"m\","
                                         "model_version=\"1\"} 0"));
}

TEST_F(CellModelTest, CancelledAndLateRequestsEndAtTheirNextStep) {
  const auto model = MakeModel();
  const NamedTensors inputs = {{"x", Floats({1, 3, 2}, {1, 1, 1, 1, 1, 1})}};
  const auto stays = Start(*model, inputs);
  const auto leaves = Start(*model, inputs);
  deadline_ = clock_.Now() + milliseconds(5);
  const auto late = Start(*model, inputs);
  executor_->RunOne();
  leaves->cancel.Cancel();
  executor_->RunOne();
  ASSERT_TRUE(leaves->answer.has_value());
  EXPECT_EQ(leaves->answer->status.code(), StatusCode::kCancelled);
  EXPECT_FALSE(late->answer.has_value());
  clock_.Advance(milliseconds(5));
  executor_->RunAll();
  EXPECT_EQ(late->answer->status.code(), StatusCode::kDeadlineExceeded);
  EXPECT_TRUE(stays->answer->status.ok());
  EXPECT_THAT(step_rows_, ElementsAre(3, 2, 1));
}

TEST_F(CellModelTest, LoopsFeedOutputsBackUntilTheyStop) {
  CellSettings settings = FakeCellSettings();
  settings.inputs.clear();
  settings.states[0] = {"x", "y", /*each_step=*/true};
  const auto model = MakeModel(settings);
  // x is y of the step before: y = h / 2 + x + n, and h is the same in all steps.
  const auto call = RunAll(*model, {{"x", Floats({2, 2}, {1, 1, 91, 0})},
                                    {"h", Floats({2, 2}, {2, 2, 2, 2})},
                                    {"lengths", Ints({3, 3})}});
  ASSERT_TRUE(call->answer->status.ok()) << call->answer->status;
  EXPECT_EQ(call->output("y").shape(), (Shape{2, 3, 2}));
  EXPECT_THAT(call->floats("y"), ElementsAre(2, 2, 4, 4, 7, 7, 92, 1, 0, 0, 0, 0));
  EXPECT_THAT(call->ints("steps"), ElementsAre(3, 1));
}

TEST_F(CellModelTest, OnlyWantedOutputsAreAnswered) {
  const auto model = MakeModel();
  const auto call = RunAll(*model, {{"x", Floats({1, 1, 2}, {1, 2})}}, {"steps", "h1"});
  ASSERT_EQ(call->answer->outputs.size(), 2U);
  EXPECT_EQ(call->answer->outputs[0].name, "h1");
  EXPECT_EQ(call->answer->outputs[1].name, "steps");
}

TEST_F(CellModelTest, NoStepsAreAnAnswerToo) {
  const auto model = MakeModel();
  const auto none = RunAll(*model, {{"x", Floats({0, 4, 2}, {})}});
  EXPECT_EQ(none->output("y").shape(), (Shape{0, 4, 2}));
  const auto empty = RunAll(*model, {{"x", Floats({1, 0, 2}, {})}, {"h", Floats({1, 2}, {5, 6})}});
  EXPECT_EQ(empty->output("y").shape(), (Shape{1, 0, 2}));
  EXPECT_THAT(empty->floats("h1"), ElementsAre(5, 6));
  EXPECT_THAT(step_rows_, IsEmpty());
}

TEST_F(CellModelTest, WrongInputsAreRefused) {
  CellSettings settings = FakeCellSettings();
  settings.steps_max = 4;
  settings.sequences_max = 3;
  const auto model = MakeModel(settings);
  const Tensor x = Floats({2, 3, 2}, std::vector<float>(12, 1));
  EXPECT_THAT(RunAll(*model, {{"x", x}, {"h", Floats({1, 2}, {1, 1})}})->error(),
              HasSubstr("the inputs 'x' and 'h' have 2 and 1 rows"));
  EXPECT_THAT(RunAll(*model, {{"x", x}, {"lengths", Ints({1, 4})}})->error(),
              HasSubstr("'lengths' has the length 4; it must be 0 to 3, the steps"));
  EXPECT_THAT(RunAll(*model, {{"x", x}, {"lengths", Ints({1, -1})}})->error(),
              HasSubstr("the length -1"));
  EXPECT_THAT(RunAll(*model, {{"x", Floats({1, 5, 2}, std::vector<float>(10))}})->error(),
              HasSubstr("the input 'x' has 5 steps; at most 4"));
  const auto four = RunAll(*model, {{"x", Floats({4, 1, 2}, std::vector<float>(8))}});
  EXPECT_EQ(four->error(), "the request has 4 sequences; at most 3 are allowed (sequences_max)");
  const auto two = Start(*model, {{"x", x}});
  const auto more = Start(*model, {{"x", x}});
  EXPECT_THAT(more->error(),
              HasSubstr("2 sequences are under way, and the request has 2; at most 3"));
  EXPECT_EQ(more->answer->status.code(), StatusCode::kUnavailable);
  executor_->RunAll();
  EXPECT_TRUE(two->answer->status.ok());
}

// A full queue refuses the task of the first step. Later steps then run without one.
TEST_F(CellModelTest, AFullQueueRefusesNewRequestsOnly) {
  const auto model = MakeModel();
  const NamedTensors inputs = {{"x", Floats({1, 200, 2}, std::vector<float>(400, 1))}};
  executor_->is_full = true;
  EXPECT_THAT(Start(*model, inputs)->error(), HasSubstr("the queue of the server is full"));
  executor_->is_full = false;
  const auto begun = Start(*model, inputs);
  executor_->is_full = true;
  executor_->RunOne();
  ASSERT_TRUE(begun->answer.has_value());
  EXPECT_TRUE(begun->answer->status.ok());
  EXPECT_EQ(step_rows_.size(), 200U);
}

TEST_F(CellModelTest, RunsHaveAtMostSoManyRows) {
  CellSettings settings = FakeCellSettings();
  settings.rows_max = 2;
  settings.runs = 2;
  const auto model = MakeModel(settings);
  const auto call = RunAll(*model, {{"x", Floats({5, 2, 2}, std::vector<float>(20, 1))}});
  EXPECT_THAT(call->ints("n1"), Each(2));
  EXPECT_THAT(step_rows_, Each(testing::Le(2)));
}

// y = x / 2 + 2 of any shape.
TEST_F(CellModelTest, RequestsOfOpenShapesRunWithTheirLike) {
  ModelInfo info;
  info.platform = "fake";
  TensorSpec y = FakeInput("y", DType::kFloat32);
  info.signatures = {{.name = "serving_default",
                      .method_name = "",
                      .inputs = {FakeInput("x", DType::kFloat32)},
                      .outputs = {y}}};
  std::vector<std::string> shapes;
  CellModel model(
      std::make_unique<FakeModel>(
          info,
          [&](const InferRequest& request, ResponseCallback done) {
            const Tensor& x = request.inputs.front().tensor;
            shapes.push_back(x.shape().ToString());
            InferResponse answer;
            answer.outputs = {{"y", *Tensor::Allocate(DType::kFloat32, x.shape())}};
            for (size_t i = 0; i < x.as<float>().size(); ++i)
              answer.outputs[0].tensor.mutable_as<float>()[i] = x.as<float>()[i] / 2 + 2;
            done(std::move(answer));
          }),
      {.id = {"m", {1}},
       .settings = {.signature = "", .inputs = {}, .states = {{"x", "y"}}, .rows_max = 9},
       .executor = executor_},
      metrics_);
  const Tensor lengths = Ints({2});
  const auto a = Start(model, {{"x", Floats({1, 2}, {0, 8})}, {"lengths", lengths}});
  const auto b = Start(model, {{"x", Floats({1}, {4})}, {"lengths", lengths}});
  const auto c = Start(model, {{"x", Floats({1, 2}, {4, 4})}, {"lengths", lengths}});
  const auto scalar = Start(model, {{"x", Floats({}, {4})}, {"lengths", lengths}});
  executor_->RunAll();
  EXPECT_THAT(a->floats("y"), ElementsAre(3, 5));
  EXPECT_THAT(b->floats("y"), ElementsAre(4));
  EXPECT_THAT(c->floats("y"), ElementsAre(4, 4));
  EXPECT_THAT(scalar->error(), HasSubstr("the input 'x' is a scalar"));
  EXPECT_THAT(shapes, ElementsAre("[2,2]", "[1]", "[2,2]", "[1]"));
}

// A few bytes may ask for many steps.
TEST_F(CellModelTest, AnswersAreBounded) {
  CellSettings settings = FakeCellSettings();
  settings.inputs.clear();
  settings.states[0] = {"x", "y", /*each_step=*/true};
  CellModel model(
      std::make_unique<FakeModel>(FakeCellInfo(), [](const InferRequest& request,
                                                     auto done) { done(RunFakeCell(request)); }),
      {.id = {"m", {1}}, .settings = settings, .executor = executor_, .answer_bytes_max = 10'000},
      metrics_);
  const auto run = [&](int64_t steps) {
    return RunAll(
        model,
        {{"x", Floats({1, 2}, {1, 1})}, {"h", Floats({1, 2}, {1, 1})}, {"lengths", Ints({steps})}});
  };
  EXPECT_TRUE(run(500)->answer->status.ok());
  EXPECT_EQ(run(2000)->answer->status.code(), StatusCode::kResourceExhausted);
}

// A step in which the cell breaks its own signature is an error, not a wrong answer.
TEST_F(CellModelTest, AnswersThatDoNotFitAreRefused) {
  const auto error = [this](const std::function<void(InferResponse&)>& change) {
    const auto model =
        MakeModel(FakeCellSettings(), [&](const InferRequest& request, ResponseCallback done) {
          InferResponse answer = RunFakeCell(request);
          change(answer);
          done(std::move(answer));
        });
    const auto call = RunAll(*model, {{"x", Floats({1, 1, 2}, {1, 1})}});
    return call->error();
  };
  EXPECT_THAT(error([](auto& answer) { answer.outputs.pop_back(); }),
              HasSubstr("has not answered with the output 'y'"));
  EXPECT_THAT(error([](auto& answer) {
                answer.outputs[1].tensor = Floats({2, 2}, {1, 1, 1, 1});
              }),
              HasSubstr("answered 1 rows with the output 'h1' of the shape [2,2]; expected [1,2]"));
  EXPECT_THAT(error([](auto& answer) { answer.outputs[3].tensor = Ints({1}); }),
              HasSubstr("the output 'y' of the shape [1]"));
}

// What the sequences of a request give, one after the other and without CellModel. Plain data.
struct Expected {
  bool fails = false;
  std::vector<float> y, h1;
  std::vector<int64_t> steps;
};

// Adds the answer of one row, which makes at most `steps_max` steps.
void RunAlone(const InferRequest& request, int64_t row, int64_t steps_max, Expected& expected) {
  const Tensor& x = *InputOf(request, "x");
  const Tensor* const start = InputOf(request, "h");
  const Tensor* const scale = InputOf(request, "scale");
  Tensor h = start == nullptr ? Floats({1, 2}, {0, 0}) : start->Rows(row, 1);
  Tensor n = Ints({0});
  int64_t step = 0;
  for (bool stops = false; step < steps_max && !stops; ++step) {
    const auto place = static_cast<size_t>((row * x.shape().dim(1) + step) * 2);
    InferRequest one;
    one.inputs = {{"x", Floats({1, 2}, {x.as<float>()[place], x.as<float>()[place + 1]})},
                  {"h", h},
                  {"n", n}};
    if (scale != nullptr) one.inputs.push_back({"scale", scale->Rows(row, 1)});
    const InferResponse answer = RunFakeCell(one);
    if (!answer.status.ok()) {
      expected.fails = true;
      return;
    }
    stops = answer.outputs[0].tensor.as<bool>()[0];
    h = answer.outputs[1].tensor;
    n = answer.outputs[2].tensor;
    std::ranges::copy(answer.outputs[3].tensor.as<float>(),
                      expected.y.begin() + static_cast<int64_t>(place));
  }
  expected.steps.push_back(step);
  expected.h1.insert(expected.h1.end(), h.as<float>().begin(), h.as<float>().end());
}

Expected RunAlone(const InferRequest& request) {
  const Tensor& x = *InputOf(request, "x");
  const Tensor* const lengths = InputOf(request, "lengths");
  Expected expected;
  expected.y.resize(x.as<float>().size());
  for (int64_t row = 0; row < x.shape().dim(0) && !expected.fails; ++row) {
    RunAlone(
        request, row,
        lengths == nullptr ? x.shape().dim(1) : lengths->as<int64_t>()[static_cast<size_t>(row)],
        expected);
  }
  return expected;
}

// Random requests for one cell on several threads.
class RandomCalls {
 public:
  explicit RandomCalls(uint64_t seed) : random_(seed) {}

  int64_t Below(uint64_t end) { return static_cast<int64_t>(random_() % end); }
  // One of 400 steps fails, and one of 10 stops its sequence.
  std::unique_ptr<Call> MakeCall() {
    auto call = std::make_unique<Call>();
    const int64_t rows = 1 + Below(4), steps = Below(40);
    const auto numbers = [&](int64_t count, auto make) {
      std::vector<decltype(make())> all(static_cast<size_t>(count));
      std::ranges::generate(all, make);
      return all;
    };
    const auto digit = [&] { return static_cast<float>(Below(10)); };
    NamedTensors& inputs = call->request.inputs;
    inputs.push_back({"x", Floats({rows, steps, 2}, numbers(rows * steps * 2, [&] {
                                    return static_cast<float>(Below(1000)) / 10 -
                                           (Below(400) == 0 ? 100 : 0);
                                  }))});
    if (Below(2) == 0) inputs.push_back({"h", Floats({rows, 2}, numbers(rows * 2, digit))});
    if (Below(3) == 0) inputs.push_back({"scale", Floats({rows}, numbers(rows, digit))});
    if (Below(2) == 0)
      inputs.push_back({"lengths", Ints(numbers(rows, [&] {
                          return Below(static_cast<uint64_t>(steps) + 1);
                        }))});
    call->request.cancel = &call->cancel;
    return call;
  }
  void Start(Model& model) {
    auto call = MakeCall();
    {
      MutexLock lock(mutex_);
      ++open_;
    }
    model.Run(call->request, [this, &answer = call->answer](InferResponse&& part) {
      MutexLock lock(mutex_);
      answer = std::move(part);
      --open_;
      ended_.NotifyAll();
    });
    all_.push_back(std::move(call));
  }
  void CancelOne() { all_[static_cast<size_t>(Below(all_.size()))]->cancel.Cancel(); }
  void Check() {
    {
      MutexLock lock(mutex_);
      while (open_ > 0) ended_.Wait(mutex_);
    }
    for (const auto& call : all_) {
      // It may have failed, or ended, before it was cancelled.
      if (call->cancel.IsCancelled() && call->answer->status.code() == StatusCode::kCancelled)
        continue;
      const Expected expected = RunAlone(call->request);
      ASSERT_EQ(call->answer->status.ok(), !expected.fails) << call->error();
      if (expected.fails) continue;
      ASSERT_EQ(call->floats("y"), expected.y);
      ASSERT_EQ(call->floats("h1"), expected.h1);
      ASSERT_EQ(call->ints("steps"), expected.steps);
    }
  }

 private:
  std::mt19937_64 random_;
  std::vector<std::unique_ptr<Call>> all_;
  Mutex mutex_;
  CondVar ended_;
  int64_t open_ GUARDED_BY(mutex_) = 0;
};

// Random sequences on several threads, with joins, leaves, cancels and steps that fail, give what
// each gives alone.
TEST(CellModelRandomTest, RandomSequencesEqualThoseThatRunAlone) {
  for (uint64_t seed = 1; seed <= (kIsSanitized ? 6 : 30); ++seed) {
    SCOPED_TRACE(seed);
    RandomCalls calls(seed);
    MetricsRegistry metrics;
    ThreadPool pool({.name = "steps", .threads = 3});
    CellSettings settings = FakeCellSettings();
    settings.rows_max = 1 + calls.Below(12);
    settings.runs = static_cast<uint32_t>(1 + calls.Below(3));
    // Half of the cells answer on a thread of their own, after Run has returned.
    const bool is_late = calls.Below(2) == 0;
    ThreadPool others({.name = "cell", .threads = 2});
    CellModel model(std::make_unique<FakeModel>(
                        FakeCellInfo(),
                        [&](const InferRequest& request, ResponseCallback done) {
                          if (!is_late) return done(RunFakeCell(request));
                          EXPECT_TRUE(others.Submit([&request, done = std::move(done)]() mutable {
                            done(RunFakeCell(request));
                          }));
                        }),
                    {.id = {"m", {1}},
                     .settings = settings,
                     .executor = std::shared_ptr<Executor>(std::shared_ptr<Executor>(), &pool)},
                    metrics);
    for (int i = 0; i < 40; ++i) {
      calls.Start(model);
      if (calls.Below(10) == 0) calls.CancelOne();
    }
    calls.Check();
    EXPECT_THAT(metrics.Text(),
                HasSubstr("penstock_cell_sequences{model_name=\"m\",model_version=\"1\"} 0"));
  }
}

}  // namespace
}  // namespace penstock::cells
