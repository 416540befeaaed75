// SPDX-License-Identifier: Apache-2.0
// What every backend must do, run unchanged on each: conformance_test --gtest_filter=*/onnxruntime
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <thread>

#include "backend_fixture.h"
#include "base/test_folder.h"

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
     {TestModel("not_negative"), "x", DType::kFloat32}},
    {"onnxruntime",
     SampleModel("half_plus_two_onnx"),
     "model.onnx",
     {TestModel("lower_case_onnx"), "", "text", "lower", "az", false},
     TestModel("many_outputs_onnx"),
     TestModel("scalars_onnx"),
     TestModel("loop_onnx"),
     {TestModel("pick_onnx"), "index", DType::kInt64}},
    {"linear",
     SOURCE_FOLDER "/examples/custom_backend/model/1",
     "model.linear",
     {SOURCE_FOLDER "/examples/custom_backend/model/1", "reverse", "text", "reversed", "zA", true},
     "",
     "",
     "",
     {}},
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

INSTANTIATE_TEST_SUITE_P(Backends, ConformanceTest, testing::ValuesIn(kSubjects),
                         [](const auto& subject) { return subject.param.backend; });

}  // namespace
}  // namespace penstock
