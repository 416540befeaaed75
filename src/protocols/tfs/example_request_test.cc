// SPDX-License-Identifier: Apache-2.0
#include "protocols/tfs/example_request.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "serving/classification.pb.h"
#include "serving/inference.pb.h"
#include "serving/regression.pb.h"

namespace penstock::tfs {
namespace {

using tensorflow::serving::ClassificationRequest;
using tensorflow::serving::ClassificationResponse;
using tensorflow::serving::MultiInferenceRequest;
using tensorflow::serving::MultiInferenceResponse;
using tensorflow::serving::RegressionResponse;
using testing::HasSubstr;
using testing::StartsWith;

TensorSpec MakeSpec(std::string name, DType type, Shape shape) {
  TensorSpec spec;
  spec.name = spec.backend_name = std::move(name);
  spec.dtype = type;
  spec.shape = std::move(shape);
  return spec;
}

// As a SavedModel of TensorFlow 1 declares them.
ModelInfo DeclaredInfo() {
  ModelInfo info;
  const TensorSpec input = MakeSpec("inputs", DType::kString, {-1});
  info.signatures = {{"serving_default",
                      std::string(kClassifyMethodName),
                      {input},
                      {MakeSpec("classes", DType::kString, {-1, -1}),
                       MakeSpec("scores", DType::kFloat32, {-1, -1})}},
                     {"value",
                      std::string(kRegressMethodName),
                      {input},
                      {MakeSpec("outputs", DType::kFloat32, {-1, 1})}},
                     {"only_scores",
                      std::string(kClassifyMethodName),
                      {input},
                      {MakeSpec("scores", DType::kFloat32, {-1, -1})}},
                     {"predict",
                      "tensorflow/serving/predict",
                      {MakeSpec("x", DType::kInt64, {-1})},
                      {MakeSpec("y", DType::kInt64, {-1})}},
                     {"one_name",
                      "tensorflow/serving/predict",
                      {MakeSpec("id", DType::kInt64, {-1})},
                      {MakeSpec("outputs", DType::kFloat32, {-1})}},
                     {"another_name",
                      "tensorflow/serving/predict",
                      {MakeSpec("number", DType::kInt64, {-1})},
                      {MakeSpec("outputs", DType::kFloat32, {-1})}}};
  info.signatures[1].inputs[0].backend_name = input.backend_name;
  info.signatures[5].inputs[0].backend_name = info.signatures[4].inputs[0].backend_name;
  return info;
}

Tensor Floats(Shape shape, std::initializer_list<float> values) {
  Tensor tensor = *Tensor::Allocate(DType::kFloat32, std::move(shape));
  std::copy(values.begin(), values.end(), tensor.mutable_as<float>().begin());
  return tensor;
}

Tensor Strings(Shape shape, std::initializer_list<std::string_view> values) {
  Tensor tensor = *Tensor::Allocate(DType::kString, std::move(shape));
  size_t at = 0;
  for (const std::string_view each : values) {
    tensor.mutable_as<StringElement>()[at++] = {each.data(), each.size()};
  }
  return tensor;
}

// One request. One thread at a time.
class ExampleRequestTest : public testing::Test {
 protected:
  Status Read(const google::protobuf::Message& message, ExampleApi api) {
    request_.Clear();
    message_ = WholeSlice(CopyToBuffer(message.SerializeAsString()));
    TRY(request_.Scan(message_, api, /*tasks_max=*/10));
    if (!request_.has_model_spec()) return InvalidArgument("Missing ModelSpec");
    RequestMemory memory(1 << 20);
    return request_.ReadInputs(plans_, memory, infer_);
  }
  ClassificationRequest Classify(std::string signature = {}, int examples = 2) {
    ClassificationRequest request;
    request.mutable_model_spec()->set_name("m");
    request.mutable_model_spec()->set_signature_name(std::move(signature));
    for (int i = 0; i < examples; ++i) AddExample(*request.mutable_input(), i);
    return request;
  }
  static void AddExample(tensorflow::serving::Input& input, int value) {
    auto& features = *input.mutable_example_list()->add_examples()->mutable_features();
    (*features.mutable_feature())["x"].mutable_int64_list()->add_value(value);
  }
  static void AddTask(MultiInferenceRequest& request, std::string signature,
                      std::string_view method, std::string model = "m") {
    auto& task = *request.add_tasks();
    task.mutable_model_spec()->set_name(std::move(model));
    task.mutable_model_spec()->set_signature_name(std::move(signature));
    task.set_method_name(std::string(method));
  }
  template <typename Response>
  Response Write(const NamedTensors& outputs) {
    RequestMemory memory(1 << 20);
    const StatusOr<ByteChain> bytes = request_.Write(outputs, {"m", {3}}, memory);
    EXPECT_TRUE(bytes.ok()) << bytes.status();
    Response response;
    EXPECT_TRUE(response.ParseFromString(std::string(Flatten(*bytes).view())));
    return response;
  }
  std::string WriteError(const NamedTensors& outputs) {
    RequestMemory memory(1 << 20);
    const Status status = request_.Write(outputs, {"m", {3}}, memory).status();
    EXPECT_EQ(status.code(), StatusCode::kInvalidArgument);
    return std::string(MessageOf(status));
  }

  const ModelInfo info_ = DeclaredInfo();
  const ExamplePlans plans_ = *ExamplePlans::Make(info_);
  Slice message_;
  ExampleRequest request_;
  InferRequest infer_;
};

TEST_F(ExampleRequestTest, SerializedExamplesAreViewsOfTheMessage) {
  const ClassificationRequest classify = Classify();
  ASSERT_EQ(Read(classify, ExampleApi::kClassify), OkStatus());
  EXPECT_EQ(request_.model().name, "m");
  ASSERT_EQ(infer_.inputs.size(), 1u);
  EXPECT_EQ(infer_.inputs[0].name, "inputs");
  const Tensor& tensor = infer_.inputs[0].tensor;
  EXPECT_EQ(tensor.shape(), (Shape{2}));
  for (int i = 0; i < 2; ++i) {
    const std::string_view bytes = tensor.strings()[static_cast<size_t>(i)].view();
    EXPECT_EQ(bytes, classify.input().example_list().examples(i).SerializeAsString());
    EXPECT_GT(bytes.data(), message_.view().data());
    EXPECT_LT(bytes.data(), message_.view().data() + message_.size);
  }
  EXPECT_THAT(infer_.output_filter, testing::ElementsAre("classes", "scores"));
}

TEST_F(ExampleRequestTest, TheContextStandsBeforeEachSerializedExample) {
  ClassificationRequest classify = Classify();
  tensorflow::serving::Input plain = classify.input();
  auto& list = *classify.mutable_input()->mutable_example_list_with_context();
  for (const auto& each : plain.example_list().examples()) *list.add_examples() = each;
  *list.add_examples() = {};
  auto& features = *list.mutable_context()->mutable_features()->mutable_feature();
  features["c"].mutable_int64_list()->add_value(7);
  features["x"].mutable_int64_list()->add_value(8);
  ASSERT_EQ(Read(classify, ExampleApi::kClassify), OkStatus());
  for (int i = 0; i < 3; ++i) {
    tensorflow::Example merged, expected = list.context();
    expected.MergeFrom(list.examples(i));
    const std::string_view bytes = infer_.inputs[0].tensor.strings()[static_cast<size_t>(i)].view();
    ASSERT_TRUE(merged.ParseFromString(std::string(bytes)));
    EXPECT_EQ(merged.ShortDebugString(), expected.ShortDebugString());
  }
  list.clear_examples();
  EXPECT_EQ(MessageOf(Read(classify, ExampleApi::kClassify)), "Input is empty.");
}

TEST_F(ExampleRequestTest, ACopiedContextCountsAsMemory) {
  ClassificationRequest classify = Classify({}, 0);
  auto& list = *classify.mutable_input()->mutable_example_list_with_context();
  auto& features = *list.mutable_context()->mutable_features()->mutable_feature();
  features["c"].mutable_bytes_list()->add_value(std::string(10'000, 'c'));
  for (int i = 0; i < 200; ++i) list.add_examples();
  EXPECT_EQ(Read(classify, ExampleApi::kClassify).code(), StatusCode::kResourceExhausted);
}

TEST_F(ExampleRequestTest, WritesClassesWithScoresAndLabels) {
  ASSERT_EQ(Read(Classify(), ExampleApi::kClassify), OkStatus());
  const NamedTensors outputs = {{"classes", Strings({2, 2}, {"a", "b", "", "d"})},
                                {"scores", Floats({2, 2}, {1, 0, -0.0F, 0.5})}};
  const auto response = Write<ClassificationResponse>(outputs);
  ASSERT_EQ(response.result().classifications_size(), 2);
  const auto& first = response.result().classifications(0).classes();
  EXPECT_EQ(first[0].label(), "a");
  EXPECT_EQ(first[0].score(), 1);
  EXPECT_EQ(first[1].label(), "b");
  EXPECT_EQ(first[1].score(), 0);
  const auto& second = response.result().classifications(1).classes();
  EXPECT_EQ(second[0].label(), "");
  EXPECT_TRUE(std::signbit(second[0].score()));
  EXPECT_EQ(second[1].score(), 0.5);
  EXPECT_EQ(response.model_spec().name(), "m");
  EXPECT_EQ(response.model_spec().version().value(), 3);
  EXPECT_EQ(response.model_spec().signature_name(), "serving_default");
}

TEST_F(ExampleRequestTest, ClassesOrScoresMayBeMissing) {
  ASSERT_EQ(Read(Classify("only_scores"), ExampleApi::kClassify), OkStatus());
  const auto response = Write<ClassificationResponse>({{"scores", Floats({2, 1}, {1, 2})}});
  EXPECT_EQ(response.result().classifications(1).classes(0).label(), "");
  EXPECT_EQ(response.result().classifications(1).classes(0).score(), 2);
}

TEST_F(ExampleRequestTest, RefusesOutputsOfTheWrongForm) {
  ASSERT_EQ(Read(Classify("only_scores"), ExampleApi::kClassify), OkStatus());
  EXPECT_EQ(WriteError({{"scores", Floats({2}, {1, 2})}}),
            "Expected Tensor shape: [batch_size num_classes] but got [2]");
  EXPECT_EQ(WriteError({{"scores", Floats({1, 2}, {1, 2})}}),
            "Expected scores output batch size of 2. Got: 1");
  EXPECT_EQ(WriteError({{"scores", Strings({2, 1}, {"a", "b"})}}),
            "Expected scores Tensor of DT_FLOAT. Got: DT_STRING");
  EXPECT_EQ(WriteError({}), "Could not find output tensor 'scores'");
  ASSERT_EQ(Read(Classify(), ExampleApi::kClassify), OkStatus());
  EXPECT_EQ(WriteError({{"classes", Strings({2, 1}, {"a", "b"})},
                        {"scores", Floats({2, 2}, {1, 2, 3, 4})}}),
            "Tensors class and score should match in dim_size(1). Got 1 vs. 2");
  EXPECT_THAT(
      WriteError({{"classes", Strings({2, 1}, {"a", "\xff"})}, {"scores", Floats({2, 1}, {1, 2})}}),
      HasSubstr("label of class 0 of example 1 is not UTF-8"));
  ASSERT_EQ(Read(Classify("value"), ExampleApi::kRegress), OkStatus());
  EXPECT_EQ(WriteError({{"outputs", Floats({2, 2}, {1, 2, 3, 4})}}),
            "Expected output Tensor shape to be either [batch_size] or [batch_size, 1] but got "
            "[2,2]");
  EXPECT_EQ(WriteError({{"outputs", Floats({1}, {1})}}),
            "Input batch size did not match output batch size: 2 vs. 1");
}

TEST_F(ExampleRequestTest, WritesValues) {
  ASSERT_EQ(Read(Classify("value"), ExampleApi::kRegress), OkStatus());
  for (const Shape& shape : {Shape{2}, Shape{2, 1}}) {
    const auto response = Write<RegressionResponse>({{"outputs", Floats(shape, {0, 2.5})}});
    ASSERT_EQ(response.result().regressions_size(), 2);
    EXPECT_EQ(response.result().regressions(0).value(), 0);
    EXPECT_EQ(response.result().regressions(1).value(), 2.5);
    EXPECT_EQ(response.model_spec().signature_name(), "value");
  }
}

TEST_F(ExampleRequestTest, OneRunAnswersAllTasks) {
  MultiInferenceRequest multi;
  AddTask(multi, "value", kRegressMethodName);
  AddTask(multi, "", kClassifyMethodName);
  AddExample(*multi.mutable_input(), 1);
  ASSERT_EQ(Read(multi, ExampleApi::kMultiInference), OkStatus());
  EXPECT_EQ(infer_.signature_name, "value");
  EXPECT_THAT(infer_.output_filter, testing::ElementsAre("outputs"));
  ASSERT_EQ(infer_.further_signatures.size(), 1u);
  EXPECT_THAT(infer_.further_signatures[0].output_filter,
              testing::ElementsAre("classes", "scores"));
  EXPECT_EQ(infer_.inputs.size(), 1u);
  EXPECT_EQ(CheckRequest(info_, infer_), OkStatus());
  const auto response = Write<MultiInferenceResponse>({{"classes", Strings({1, 1}, {"a"}), 1},
                                                       {"outputs", Floats({1}, {4}), 0},
                                                       {"scores", Floats({1, 1}, {5}), 1}});
  ASSERT_EQ(response.results_size(), 2);
  EXPECT_EQ(response.results(0).regression_result().regressions(0).value(), 4);
  EXPECT_EQ(response.results(0).model_spec().signature_name(), "value");
  EXPECT_EQ(response.results(1).classification_result().classifications(0).classes(0).label(), "a");
  EXPECT_EQ(response.results(1).model_spec().signature_name(), "serving_default");
}

TEST_F(ExampleRequestTest, ChecksTasksAsTensorFlowServingDoes) {
  const auto error = [&](auto... tasks) {
    MultiInferenceRequest multi;
    (tasks(multi), ...);
    AddExample(*multi.mutable_input(), 1);
    return Read(multi, ExampleApi::kMultiInference);
  };
  const auto task = [](std::string signature, std::string_view method, std::string model = "m") {
    return [=](MultiInferenceRequest& multi) { AddTask(multi, signature, method, model); };
  };
  const auto classify = task("", kClassifyMethodName);
  EXPECT_EQ(MessageOf(error()), "Missing ModelSpec");
  EXPECT_EQ(MessageOf(error(classify, task("value", kRegressMethodName, ""))),
            "Found ModelSpec with an empty model name.");
  EXPECT_EQ(MessageOf(error(classify, task("value", kRegressMethodName, "other"))),
            "All ModelSpecs in a MultiInferenceRequest must access the same model name.");
  EXPECT_EQ(MessageOf(error(classify, task("serving_default", kClassifyMethodName))),
            "Duplicate evaluation of signature: serving_default");
  EXPECT_THAT(MessageOf(error(classify, task("none", kClassifyMethodName))),
              StartsWith("Requested signature not found in model graph: none"));
  const Status unsupported = error(task("value", "tensorflow/serving/predict"));
  EXPECT_EQ(unsupported.code(), StatusCode::kUnimplemented);
  EXPECT_THAT(MessageOf(unsupported),
              StartsWith("Unsupported signature method_name: tensorflow/serving/predict"));
  EXPECT_EQ(MessageOf(error(task("value", kClassifyMethodName))),
            "Expected classification signature method_name to be tensorflow/serving/classify. Was: "
            "tensorflow/serving/regress");
}

TEST_F(ExampleRequestTest, SaysThatAnInputOfTasksMustHaveOneName) {
  MultiInferenceRequest multi;
  AddTask(multi, "one_name", kRegressMethodName);
  AddTask(multi, "another_name", kRegressMethodName);
  AddExample(*multi.mutable_input(), 1);
  EXPECT_EQ(MessageOf(Read(multi, ExampleApi::kMultiInference)),
            "Input tensor must be the same for all Signatures. Its name must be, too: 'id' in the "
            "signature 'one_name', 'number' in 'another_name'");
  multi.mutable_tasks(1)->mutable_model_spec()->set_signature_name("value");
  EXPECT_EQ(MessageOf(Read(multi, ExampleApi::kMultiInference)),
            "Input tensor must be the same for all Signatures.");
}

TEST_F(ExampleRequestTest, SaysWhyASignatureCannotBeUsed) {
  EXPECT_THAT(MessageOf(Read(Classify("none"), ExampleApi::kClassify)),
              StartsWith("No signature was found with the name: none. The model has {"));
  EXPECT_EQ(MessageOf(Read(Classify("predict"), ExampleApi::kRegress)),
            "Expected regression signature method_name to be tensorflow/serving/regress. Was: "
            "tensorflow/serving/predict. It cannot be used instead: the signature 'predict' has no "
            "output that can be the values, which are floats of shape [examples] or [examples,1]");
  EXPECT_EQ(MessageOf(Read(ClassificationRequest(), ExampleApi::kClassify)), "Missing ModelSpec");
}

TEST_F(ExampleRequestTest, RefusesMalformedMessagesAndTooManyTasks) {
  EXPECT_THAT(
      MessageOf(request_.Scan(WholeSlice(CopyToBuffer("\x12\x05")), ExampleApi::kClassify, 10)),
      StartsWith("ClassificationRequest is malformed: "));
  MultiInferenceRequest multi;
  for (int i = 0; i < 11; ++i) AddTask(multi, "value", kRegressMethodName);
  EXPECT_EQ(MessageOf(Read(multi, ExampleApi::kMultiInference)),
            "MultiInferenceRequest has more than 10 tasks");
}

}  // namespace
}  // namespace penstock::tfs
