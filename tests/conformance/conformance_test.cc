// SPDX-License-Identifier: Apache-2.0
// What every backend must do, run unchanged on each: conformance_test --gtest_filter=*/onnxruntime
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <deque>
#include <filesystem>
#include <thread>

#include "backend_fixture.h"
#include "base/executor.h"
#include "base/mutex.h"
#include "base/os/test_folder.h"
#include "base/os/test_paths.h"
#include "infer/engine.h"
#include "infer/model_fake.h"

namespace penstock {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
namespace fs = std::filesystem;

// A backend and its models; an empty path: it has no such model.
struct Subject {
  std::string backend;
  std::string linear;  // x float[-1] -> y = x / 2 + 2
  std::string file;    // of that model
  struct {
    std::string path;
    std::string signature;
    std::string input;
    std::string output;
    std::string expected;       // of "Az"
    bool takes_no_row = false;  // the model's own operation does
  } text;
  std::string many;     // x float[-1] -> as_int64, positive, half, text, total
  std::string scalars;  // a, b float[] -> sum, product
  std::string loop;     // steps int64[] -> count
  struct {
    std::string path;
    std::string input;
    DType dtype = DType::kInvalid;
  } failing;  // fails for a negative number
  struct {
    std::string path;
    std::string first;   // signatures: x float[-1] -> y; the second one of `second_factor` and
    std::string second;  // `second_term`
    float second_factor = 1;
    float second_term = 0;
  } several;
  std::string parts;  // the signature of `linear` that answers each row in a part of its own
};

void PrintTo(const Subject& subject, std::ostream* stream) { *stream << subject.backend; }

const Subject kSubjects[] = {
    {"tensorflow",
     SampleModel("half_plus_two"),
     "saved_model.pb",
     {TestModel("dtypes"), "string", "x", "y", "Az", true},
     TestModel("many_outputs"),
     TestModel("scalars"),
     TestModel("loop"),
     {TestModel("not_negative"), "x", DType::kFloat32},
     {TestModel("dtypes"), "serving_default", "float32", 1, 0},
     ""},
    {"onnxruntime",
     SampleModel("half_plus_two_onnx"),
     "model.onnx",
     {TestModel("lower_case_onnx"), "", "text", "lower", "az", false},
     TestModel("many_outputs_onnx"),
     TestModel("scalars_onnx"),
     TestModel("loop_onnx"),
     {TestModel("pick_onnx"), "index", DType::kInt64},
     {},
     ""},
    {"linear",
     SourcePath("examples/custom_backend/model/1"),
     "model.linear",
     {SourcePath("examples/custom_backend/model/1"), "reverse", "text", "reversed", "zA", true},
     "",
     "",
     "",
     {},
     {SourcePath("examples/custom_backend/model/1"), "serving_default", "each_row", 0.5, 2},
     "each_row"},
};

// One host for all cases of a process.
BackendHost& HostFor(const std::string& backend) {
  static const std::unique_ptr<BackendHost> host = MakeHost(backend);
  return *host;
}

class ConformanceTest : public testing::TestWithParam<Subject> {
 protected:
  std::unique_ptr<Model> Load(const std::string& path) {
    StatusOr<std::unique_ptr<Model>> model = HostFor(GetParam().backend).Load(path, {});
    EXPECT_TRUE(model.ok()) << model.status();
    return model.ok() ? *std::move(model) : nullptr;
  }
};

TEST_P(ConformanceTest, DescribesTheModel) {
  const auto model = Load(GetParam().linear);
  ASSERT_NE(model, nullptr);
  EXPECT_EQ(model->info().platform, GetParam().backend);
  const Signature* signature = model->info().FindSignature("");
  ASSERT_NE(signature, nullptr);
  const TensorSpec* x = signature->FindInput("x");
  ASSERT_NE(x, nullptr);
  EXPECT_EQ(x->dtype, DType::kFloat32);
  EXPECT_FALSE(x->unknown_rank);
  EXPECT_EQ(x->shape, Shape({-1}));
  EXPECT_NE(signature->FindOutput("y"), nullptr);
  for (const Signature& each : model->info().signatures) EXPECT_NE(each.name.substr(0, 2), "__");
  const ModelTraits& traits = model->info().traits;
  EXPECT_FALSE(traits.has_state || traits.not_deterministic || traits.has_side_effects);
}

// A size of -1 does not say that a dimension counts rows. Names of dimensions may.
TEST_P(ConformanceTest, ABatchAxisOnlyWhereTheFileSaysSo) {
  const auto model = Load(GetParam().linear);
  ASSERT_NE(model, nullptr);
  const Signature& signature = *model->info().FindSignature("");
  for (const TensorSpec* spec : {signature.FindInput("x"), signature.FindOutput("y")}) {
    const bool is_named = !spec->dimension_names.empty() && !spec->dimension_names[0].empty();
    EXPECT_EQ(spec->batch_axis, is_named ? 0 : -1);
    EXPECT_EQ(is_named, GetParam().backend != "tensorflow");
  }
}

TEST_P(ConformanceTest, RunsAgainAndAgain) {
  const auto model = Load(GetParam().linear);
  ASSERT_NE(model, nullptr);
  for (int run = 0; run < 200; ++run) {
    const InferResponse response =
        RunModel(*model, {{"x", Floats({1, 2, static_cast<float>(run)})}});
    ASSERT_TRUE(response.status.ok()) << response.status;
    EXPECT_THAT(Values<float>(Output(response, "y")),
                ElementsAre(2.5, 3, static_cast<float>(run) / 2 + 2));
  }
}

TEST_P(ConformanceTest, OutputsOutliveTheModel) {
  auto model = Load(GetParam().linear);
  ASSERT_NE(model, nullptr);
  const Tensor y = Output(RunModel(*model, {{"x", Floats({4})}}), "y");
  model.reset();
  EXPECT_THAT(Values<float>(y), ElementsAre(4));
}

TEST_P(ConformanceTest, TakesUnalignedInputAndKeepsItsOwner) {
  const auto model = Load(GetParam().linear);
  ASSERT_NE(model, nullptr);
  const Tensor values = Floats({0, 1, 2, 3});
  Slice shifted = values.elements();
  shifted.data += sizeof(float);
  shifted.size -= sizeof(float);
  const InferResponse response =
      RunModel(*model, {{"x", *Tensor::FromBytes(DType::kFloat32, {3}, shifted)}});
  EXPECT_THAT(Values<float>(Output(response, "y")), ElementsAre(2.5, 3, 3.5));
  EXPECT_THAT(Values<float>(values), ElementsAre(0, 1, 2, 3));
}

TEST_P(ConformanceTest, ZeroRows) {
  const auto model = Load(GetParam().linear);
  ASSERT_NE(model, nullptr);
  for (int run = 0; run < 3; ++run) {
    const InferResponse response = RunModel(*model, {{"x", Floats({})}});
    ASSERT_TRUE(response.status.ok()) << response.status;
    EXPECT_EQ(Output(response, "y").shape(), Shape({0}));
  }
}

TEST_P(ConformanceTest, WrongInputsAreRefusedBeforeTheBackend) {
  const auto model = Load(GetParam().linear);
  ASSERT_NE(model, nullptr);
  const Tensor integers = MakeTensor<int32_t>(DType::kInt32, {1}, {1});
  const Tensor matrix = MakeTensor<float>(DType::kFloat32, {1, 1}, {1});
  for (const NamedTensors& inputs :
       {NamedTensors{}, NamedTensors{{"x", integers}}, NamedTensors{{"z", Floats({1})}}}) {
    const InferResponse response = RunModel(*model, inputs);
    EXPECT_EQ(response.status.code(), StatusCode::kInvalidArgument) << response.status;
  }
  // This one the runtime may take.
  EXPECT_EQ(RunModel(*model, {{"x", matrix}}).status.code(),
            model->info().traits.any_shape ? StatusCode::kOk : StatusCode::kInvalidArgument);
  EXPECT_EQ(RunModel(*model, {{"x", Floats({1})}}, {"nothing"}).status.code(),
            StatusCode::kInvalidArgument);
}

TEST_P(ConformanceTest, StringsOfAnyBytes) {
  const auto& text = GetParam().text;
  const auto model = Load(text.path);
  ASSERT_NE(model, nullptr);
  const std::vector<std::string> values = {"Az", "", std::string(1, '\0'), std::string(500, 'b')};
  for (int run = 0; run < 3; ++run) {
    const InferResponse response =
        RunModel(*model, {{text.input, Strings(values)}}, {text.output}, text.signature);
    ASSERT_TRUE(response.status.ok()) << response.status;
    EXPECT_THAT(StringValues(Output(response, text.output)),
                ElementsAre(text.expected, "", values[2], values[3]));
  }
  if (!text.takes_no_row) return;
  const InferResponse none =
      RunModel(*model, {{text.input, Strings({})}}, {text.output}, text.signature);
  EXPECT_EQ(Output(none, text.output).element_count(), 0) << none.status;
}

TEST_P(ConformanceTest, OnlyTheWantedOutputs) {
  if (GetParam().many.empty()) GTEST_SKIP() << "no such model";
  const auto model = Load(GetParam().many);
  ASSERT_NE(model, nullptr);
  const NamedTensors inputs = {{"x", Floats({-1, 2})}};
  const InferResponse all = RunModel(*model, inputs);
  ASSERT_TRUE(all.status.ok()) << all.status;
  EXPECT_EQ(all.outputs.size(), model->info().FindSignature("")->outputs.size());
  EXPECT_THAT(Values<int64_t>(Output(all, "as_int64")), ElementsAre(-1, 2));
  EXPECT_THAT(Values<bool>(Output(all, "positive")), ElementsAre(false, true));
  EXPECT_THAT(Values<float>(Output(all, "half")), ElementsAre(-0.5, 1));
  EXPECT_EQ(Output(all, "text").element_count(), 2);
  EXPECT_EQ(Output(all, "total").shape(), Shape());
  for (int run = 0; run < 2; ++run) {
    const InferResponse some = RunModel(*model, inputs, {"positive", "half"});
    ASSERT_TRUE(some.status.ok()) << some.status;
    EXPECT_EQ(some.outputs.size(), 2U);
    EXPECT_THAT(Values<float>(Output(some, "half")), ElementsAre(-0.5, 1));
  }
}

// A runtime may keep something for every set of outputs: more sets than it keeps still work.
TEST_P(ConformanceTest, AnySetOfOutputs) {
  if (GetParam().many.empty()) GTEST_SKIP() << "no such model";
  const auto model = Load(GetParam().many);
  ASSERT_NE(model, nullptr);
  const auto& outputs = model->info().FindSignature("")->outputs;
  for (unsigned set = 1; set < 1U << outputs.size(); ++set) {
    std::vector<std::string_view> filter;
    for (size_t i = 0; i < outputs.size(); ++i) {
      if ((set >> i & 1) != 0) filter.push_back(outputs[i].name);
    }
    const InferResponse response = RunModel(*model, {{"x", Floats({3})}}, filter);
    ASSERT_TRUE(response.status.ok()) << response.status;
    EXPECT_EQ(response.outputs.size(), filter.size());
  }
}

TEST_P(ConformanceTest, Scalars) {
  if (GetParam().scalars.empty()) GTEST_SKIP() << "no such model";
  const auto model = Load(GetParam().scalars);
  ASSERT_NE(model, nullptr);
  const Tensor a = MakeTensor<float>(DType::kFloat32, {}, {3});
  const Tensor b = MakeTensor<float>(DType::kFloat32, {}, {4});
  for (int run = 0; run < 3; ++run) {
    const InferResponse response = RunModel(*model, {{"a", a}, {"b", b}});
    EXPECT_EQ(Output(response, "sum").shape(), Shape());
    EXPECT_THAT(Values<float>(Output(response, "product")), ElementsAre(12));
  }
}

TEST_P(ConformanceTest, AFailingRunIsAStatusAndHarmsNoOther) {
  const auto& failing = GetParam().failing;
  if (failing.path.empty()) GTEST_SKIP() << "no such model";
  const auto model = Load(failing.path);
  ASSERT_NE(model, nullptr);
  const auto value = [&](int number) {
    return failing.dtype == DType::kInt64 ? MakeTensor<int64_t>(DType::kInt64, {1}, {number})
                                          : Floats({static_cast<float>(number)});
  };
  for (int run = 0; run < 3; ++run) {
    EXPECT_TRUE(RunModel(*model, {{failing.input, value(1)}}).status.ok());
    const InferResponse response = RunModel(*model, {{failing.input, value(-1000)}});
    EXPECT_EQ(response.status.code(), StatusCode::kInvalidArgument) << response.status;
    EXPECT_TRUE(response.outputs.empty());
  }
}

TEST_P(ConformanceTest, ACancelledRequestDoesNotStart) {
  const auto model = Load(GetParam().linear);
  ASSERT_NE(model, nullptr);
  CancelToken cancel;
  cancel.Cancel();
  InferRequest request;
  request.inputs = {{"x", Floats({1})}};
  request.cancel = &cancel;
  EXPECT_EQ(RunModel(*model, request).status.code(), StatusCode::kCancelled);
}

TEST_P(ConformanceTest, AnExpiredRequestDoesNotStart) {
  const auto model = Load(GetParam().linear);
  ASSERT_NE(model, nullptr);
  InferRequest request;
  request.inputs = {{"x", Floats({1})}};
  request.deadline = Clock::Real().Now() - std::chrono::seconds(1);
  EXPECT_EQ(RunModel(*model, request).status.code(), StatusCode::kDeadlineExceeded);
}

TEST_P(ConformanceTest, ADeadlineInTheFutureChangesNothing) {
  const auto model = Load(GetParam().linear);
  ASSERT_NE(model, nullptr);
  for (int run = 0; run < 300; ++run) {
    CancelToken cancel;
    InferRequest request;
    request.inputs = {{"x", Floats({1})}};
    request.cancel = &cancel;
    request.deadline = Clock::Real().Now() + std::chrono::minutes(1);
    EXPECT_THAT(Values<float>(Output(RunModel(*model, request), "y")), ElementsAre(2.5));
  }
}

TEST_P(ConformanceTest, ADeadlineEndsALongRun) {
  if (GetParam().loop.empty()) GTEST_SKIP() << "no such model";
  const auto model = Load(GetParam().loop);
  ASSERT_NE(model, nullptr);
  InferRequest request;
  request.inputs = {{"steps", MakeTensor<int64_t>(DType::kInt64, {}, {1'000'000'000})}};
  request.deadline = Clock::Real().Now() + std::chrono::milliseconds(50);
  EXPECT_EQ(RunModel(*model, request).status.code(), StatusCode::kDeadlineExceeded);
  const InferResponse after =
      RunModel(*model, {{"steps", MakeTensor<int64_t>(DType::kInt64, {}, {10})}});
  EXPECT_THAT(Values<int64_t>(Output(after, "count")), ElementsAre(10));
}

TEST_P(ConformanceTest, ManyThreadsAtOnce) {
  const auto model = Load(GetParam().linear);
  ASSERT_NE(model, nullptr);
  std::vector<std::thread> threads;
  std::atomic<int> wrong{0};
  for (int thread = 0; thread < 4; ++thread) {
    threads.emplace_back([&, thread] {
      for (int run = 0; run < 200; ++run) {
        const auto value = static_cast<float>(thread * 1000 + run);
        const InferResponse response = RunModel(*model, {{"x", Floats({value})}});
        if (!response.status.ok() ||
            Values<float>(Output(response, "y")) != std::vector<float>{value / 2 + 2}) {
          ++wrong;
        }
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(wrong, 0);
}

TEST_P(ConformanceTest, LoadsAndUnloadsAgainAndAgain) {
  for (int round = 0; round < 5; ++round) {
    const auto one = Load(GetParam().linear);
    const auto two = Load(GetParam().linear);
    ASSERT_NE(one, nullptr);
    ASSERT_NE(two, nullptr);
    EXPECT_TRUE(RunModel(*one, {{"x", Floats({1})}}).status.ok());
    EXPECT_TRUE(RunModel(*two, {{"x", Floats({1})}}).status.ok());
  }
}

TEST_P(ConformanceTest, SaysWhyAModelDoesNotLoad) {
  const TestFolder folder;
  for (const std::string& content : {std::string("this is no model"), std::string()}) {
    if (content.empty() && GetParam().backend == "linear") continue;  // an empty file is a model
    folder.Write(GetParam().file, content);
    const auto model = HostFor(GetParam().backend).Load(folder.path(), {});
    ASSERT_FALSE(model.ok());
    EXPECT_THAT(std::string(MessageOf(model.status())), HasSubstr(folder.path()));
    EXPECT_GT(MessageOf(model.status()).size(), folder.path().size() + 20) << model.status();
  }
  fs::remove_all(folder.path());
  EXPECT_EQ(HostFor(GetParam().backend).Load(folder.path(), {}).status().code(),
            StatusCode::kNotFound);
  const auto model = Load(GetParam().linear);  // and harms nothing
  EXPECT_TRUE(RunModel(*model, {{"x", Floats({1})}}).status.ok());
}

// --- Several signatures in one request, as the engine runs them

class ConformanceEngineTest : public ConformanceTest {
 protected:
  // Answers of all parts, in order.
  std::vector<InferResponse> Run(const InferRequest& request) {
    std::vector<InferResponse> parts;
    const Status served = ServeFakeModel(manager_, metrics_, "m", [this] {
      return HostFor(GetParam().backend).Load(GetParam().several.path, {});
    });
    EXPECT_TRUE(served.ok()) << served;
    const ModelHandle handle = *engine_.Find({.name = "m", .version = {}, .label = {}});
    engine_.Run(handle, request, /*may_run_inline=*/false,
                [&](InferResponse&& part) { parts.push_back(std::move(part)); });
    EXPECT_TRUE(!parts.empty() && parts.back().is_last);
    return parts;
  }
  // The output y of a signature, by the signature's position.
  static std::vector<float> ValuesOf(const InferResponse& part, uint32_t signature) {
    for (const NamedTensor& output : part.outputs) {
      if (output.signature == signature && output.name == "y") return Values<float>(output.tensor);
    }
    return {};
  }
  void SetUp() override {
    if (GetParam().several.path.empty()) GTEST_SKIP() << "no such model";
    request_.inputs = {{"x", Floats({1, 2, 4})}};
    const auto& several = GetParam().several;
    for (const float x : {1.0F, 2.0F, 4.0F}) {
      second_.push_back(several.second_factor * x + several.second_term);
    }
  }

  MetricsRegistry metrics_;
  schedule::Scheduler scheduler_{{.threads = schedule::PoolThreads::kCaller}};
  core::Manager manager_;
  Engine engine_{{}, manager_, scheduler_};
  InferRequest request_;
  std::vector<float> second_;  // the answer of the second signature
};

TEST_P(ConformanceEngineTest, SeveralSignaturesOverOneInput) {
  const auto& several = GetParam().several;
  for (const bool in_order : {true, false}) {
    request_.signature_name = in_order ? several.first : several.second;
    request_.further_signatures = {{.name = in_order ? several.second : several.first}};
    std::vector<float> rows;  // of the second signature, if it answers in parts
    const std::vector<InferResponse> parts = Run(request_);
    for (const InferResponse& part : parts) {
      ASSERT_TRUE(part.status.ok()) << part.status;
      for (const float value : ValuesOf(part, in_order ? 1 : 0)) rows.push_back(value);
    }
    EXPECT_EQ(rows, second_);
    EXPECT_EQ(ValuesOf(parts.back(), in_order ? 0 : 1).size(), 3U);
    EXPECT_EQ(parts.back().outputs.size(), 2U);
  }
}

TEST_P(ConformanceEngineTest, ASignatureThatDoesNotExistEndsItBeforeTheBackend) {
  request_.signature_name = GetParam().several.first;
  request_.further_signatures = {{.name = GetParam().several.second}, {.name = "nothing"}};
  const std::vector<InferResponse> parts = Run(request_);
  ASSERT_EQ(parts.size(), 1U);
  EXPECT_EQ(parts[0].status.code(), StatusCode::kFailedPrecondition) << parts[0].status;
}

// --- Answers in parts

class ConformancePartsTest : public ConformanceTest {
 protected:
  void SetUp() override {
    if (GetParam().parts.empty()) GTEST_SKIP() << "no such model";
    model_ = Load(GetParam().linear);
    ASSERT_NE(model_, nullptr);
    std::vector<float> x(kRows);
    for (size_t i = 0; i < x.size(); ++i) x[i] = static_cast<float>(i);
    request_.signature_name = GetParam().parts;
    request_.inputs = {{"x", Floats(x)}};
    request_.flow = &flow_;
    request_.cancel = &cancel_;
  }
  void TearDown() override { request_.inputs.clear(); }

  static constexpr size_t kRows = 1000;
  std::unique_ptr<Model> model_;
  FlowControl flow_;
  CancelToken cancel_;
  InferRequest request_;
};

// The receiver takes a part and is slow until it has processed it.
TEST_P(ConformancePartsTest, NoMorePartsThanTheReceiverTakes) {
  std::vector<float> received;
  bool is_over = false;
  size_t waiting = 0;  // parts that the receiver has not processed
  size_t waiting_most = 0;
  model_->Run(request_, [&](InferResponse&& part) {
    ASSERT_TRUE(part.status.ok()) << part.status;
    for (const float value : Values<float>(Output(part, "y"))) received.push_back(value);
    flow_.SetSlow();
    waiting_most = std::max(waiting_most, ++waiting);
    is_over = part.is_last;
  });
  while (!is_over) {
    waiting = 0;
    flow_.SetReady();
  }
  ASSERT_EQ(received.size(), kRows);
  for (size_t i = 0; i < kRows; ++i) EXPECT_EQ(received[i], static_cast<float>(i) / 2 + 2);
  EXPECT_EQ(waiting_most, 1U);
}

// The parts wait in a queue of a few, which another thread empties.
TEST_P(ConformancePartsTest, AQueueOfPartsHoldsABoundedNumber) {
  constexpr size_t kQueuedMax = 4;
  Mutex mutex;
  CondVar changed;
  std::deque<InferResponse> queue;
  size_t queued_most = 0;
  size_t parts = 0;
  std::thread receiver([&] {
    for (bool is_over = false; !is_over;) {
      {
        MutexLock lock(mutex);
        while (queue.empty()) changed.Wait(mutex);
        is_over = queue.front().is_last;
        ++parts;
        queue.pop_front();
        if (!queue.empty()) continue;
      }
      if (!is_over) flow_.SetReady();
    }
  });
  model_->Run(request_, [&](InferResponse&& part) {
    MutexLock lock(mutex);
    queue.push_back(std::move(part));
    queued_most = std::max(queued_most, queue.size());
    if (queue.size() >= kQueuedMax) flow_.SetSlow();
    changed.NotifyAll();
  });
  receiver.join();
  EXPECT_EQ(parts, kRows);
  // The receiver may turn ready just after the sender has seen that it is slow.
  EXPECT_LE(queued_most, 2 * kQueuedMax);
}

TEST_P(ConformancePartsTest, AStopEndsAnAnswerThatWaits) {
  size_t parts = 0;
  Status status;
  model_->Run(request_, [&](InferResponse&& part) {
    ++parts;
    flow_.SetSlow();
    if (part.is_last) status = part.status;
  });
  EXPECT_EQ(parts, 1U);
  cancel_.Cancel();
  EXPECT_EQ(parts, 2U);
  EXPECT_EQ(status.code(), StatusCode::kCancelled) << status;
  flow_.SetReady();
  EXPECT_EQ(parts, 2U);
}

TEST_P(ConformancePartsTest, AnAnswerOfNoRowsIsOnePart) {
  request_.inputs = {{"x", Floats({})}};
  const InferResponse response = RunModel(*model_, request_);
  ASSERT_TRUE(response.status.ok()) << response.status;
  EXPECT_EQ(Output(response, "y").shape(), Shape({0}));
}

INSTANTIATE_TEST_SUITE_P(Backends, ConformanceEngineTest, testing::ValuesIn(kSubjects),
                         [](const auto& subject) { return subject.param.backend; });
INSTANTIATE_TEST_SUITE_P(Backends, ConformancePartsTest, testing::ValuesIn(kSubjects),
                         [](const auto& subject) { return subject.param.backend; });
INSTANTIATE_TEST_SUITE_P(Backends, ConformanceTest, testing::ValuesIn(kSubjects),
                         [](const auto& subject) { return subject.param.backend; });

}  // namespace
}  // namespace penstock
