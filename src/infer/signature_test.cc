// SPDX-License-Identifier: Apache-2.0
#include "infer/signature.h"

#include <gtest/gtest.h>

#include "infer/model_fake.h"

namespace penstock {
namespace {

// a: int32 [], b: float [-1,3], c: any shape, may be left out; outputs y and z.
Signature TestSignature() {
  Signature signature;
  signature.name = "serving_default";
  signature.inputs = {FakeSpec("a", DType::kInt32, {}), FakeSpec("b", DType::kFloat32, {-1, 3}),
                      FakeSpec("c", DType::kInt64, {})};
  signature.inputs[2].optional = true;
  signature.inputs[2].unknown_rank = true;
  signature.outputs = {FakeSpec("y", DType::kFloat32, {-1}), FakeSpec("z", DType::kFloat32, {-1})};
  return signature;
}

NamedTensor Input(std::string_view name, DType dtype, Shape shape) {
  return {name, *Tensor::Allocate(dtype, std::move(shape))};
}

class CheckInputsTest : public ::testing::Test {
 protected:
  CheckInputsTest() {
    request_.inputs.push_back(Input("b", DType::kFloat32, {2, 3}));
    request_.inputs.push_back(Input("a", DType::kInt32, {}));
  }
  std::string Message() {
    const Status status = CheckInputs(signature_, traits_, request_);
    EXPECT_EQ(status.code(), StatusCode::kInvalidArgument);
    return std::string(status.message());
  }

  Signature signature_ = TestSignature();
  ModelTraits traits_;
  InferRequest request_;
};

TEST_F(CheckInputsTest, AcceptsWhatFits) {
  EXPECT_TRUE(CheckInputs(signature_, traits_, request_).ok());
  request_.inputs.push_back(Input("c", DType::kInt64, {1, 2, 3, 4}));
  EXPECT_TRUE(CheckInputs(signature_, traits_, request_).ok());
  request_.inputs[0] = Input("b", DType::kFloat32, {0, 3});
  request_.output_filter = {"z", "y"};
  EXPECT_TRUE(CheckInputs(signature_, traits_, request_).ok());
}

TEST_F(CheckInputsTest, AnyShapeIfTheModelDecides) {
  traits_.any_shape = true;
  request_.inputs[0] = Input("b", DType::kFloat32, {7});
  request_.inputs[1] = Input("a", DType::kInt32, {1, 1});
  EXPECT_TRUE(CheckInputs(signature_, traits_, request_).ok());
  request_.inputs[0] = Input("b", DType::kInt64, {2, 3});
  EXPECT_EQ(Message(), "Expects input \"b\" to be float but int64 is provided");
}

TEST_F(CheckInputsTest, WrongTypeAndShape) {
  request_.inputs[0] = Input("b", DType::kInt64, {2, 3});
  EXPECT_EQ(Message(), "Expects input \"b\" to be float but int64 is provided");
  request_.inputs[0] = Input("b", DType::kFloat32, {2, 4});
  EXPECT_EQ(Message(), "input \"b\": got shape [2,4], expected [-1,3] (-1 stands for any size)");
  request_.inputs[0] = Input("b", DType::kFloat32, {3});
  EXPECT_EQ(Message(), "input \"b\": got shape [3], expected [-1,3] (-1 stands for any size)");
  request_.inputs[0] = Input("b", DType::kFloat32, {2, 3});
  request_.inputs[1] = Input("a", DType::kInt32, {1});
  EXPECT_EQ(Message(), "input \"a\": got shape [1], expected []");
}

TEST_F(CheckInputsTest, RepeatedName) {
  request_.inputs[1] = Input("b", DType::kFloat32, {2, 3});
  EXPECT_EQ(Message(), "input \"b\" was sent twice");
}

// TensorFlow Serving's sentences come first, since clients compare them.
TEST_F(CheckInputsTest, AWrongNumberOfInputsGetsTheErrorOfTensorFlowServing) {
  signature_.inputs.pop_back();
  request_.inputs.pop_back();
  EXPECT_EQ(Message(),
            "input size does not match signature: 1!=2 len({b}) != len({a,b}). Sent extra: {}. "
            "Missing but required: {a}. The signature is \"serving_default\".");
  request_.inputs = {};
  for (const char* name : {"y2", "y1", "b"})
    request_.inputs.push_back(Input(name, DType::kFloat32, {2, 3}));
  EXPECT_EQ(Message(),
            "input size does not match signature: 3!=2 len({b,y1,y2}) != len({a,b}). Sent extra: "
            "{y1,y2}. Missing but required: {a}. The signature is \"serving_default\".");
}

TEST_F(CheckInputsTest, WrongInputNamesGetTheErrorOfTensorFlowServing) {
  signature_.inputs[0].backend_name = "serving_default_a:0";
  request_.inputs[1] = Input("x", DType::kInt32, {});
  EXPECT_EQ(Message(),
            "input tensor alias not found in signature: x. Inputs expected to be in the set "
            "{a,b,c}. Signature input alias: a(feed name: serving_default_a:0) not found in "
            "request and no default value provided. Sent extra: {x}. Missing but required: {a}. "
            "The signature is \"serving_default\".");
  request_.inputs.pop_back();
  EXPECT_EQ(Message(),
            "Signature input alias: a(feed name: serving_default_a:0) not found in request and no "
            "default value provided. Sent extra: {}. Missing but required: {a}. The signature is "
            "\"serving_default\".");
}

TEST_F(CheckInputsTest, MessageStaysShort) {
  const std::string name(10'000, 'n');
  for (int i = 0; i < 1000; ++i) request_.inputs.push_back(Input(name, DType::kInt32, {}));
  EXPECT_LT(Message().size(), 10'000U);
}

TEST_F(CheckInputsTest, LeftOutTensorsAreRefusedWithTheReason) {
  signature_.left_out = {{"x", "it is a constant"}, {"q", "it is a sequence"}};
  request_.inputs.push_back(Input("x", DType::kInt32, {}));
  EXPECT_TRUE(Message().ends_with(
      "The signature is \"serving_default\". \"x\" is left out: it is a constant"))
      << Message();
  request_.inputs.pop_back();
  request_.output_filter = {"q"};
  EXPECT_TRUE(Message().ends_with(
      "The signature is \"serving_default\". \"q\" is left out: it is a sequence"))
      << Message();
}

TEST_F(CheckInputsTest, AWrongOutputFilterGetsTheErrorOfTensorFlowServing) {
  request_.output_filter = {"y", "q"};
  EXPECT_EQ(Message(),
            "output tensor alias not found in signature: q Outputs expected to be in the set "
            "{y,z}. The signature is \"serving_default\".");
  request_.output_filter = {"y", "z", "y"};
  EXPECT_EQ(Message(), "duplicate output tensor alias: y in output_filter");
}

TEST(ModelInfoTest, FindSignature) {
  ModelInfo info;
  EXPECT_EQ(info.FindSignature(""), nullptr);
  info.signatures = {TestSignature(), TestSignature()};
  info.signatures[0].name = "other";
  EXPECT_EQ(info.FindSignature("")->name, "serving_default");
  EXPECT_EQ(info.FindSignature("other")->name, "other");
  EXPECT_EQ(info.FindSignature("none"), nullptr);
}

// Each refusal says why: whoever sends the request does not see the server's log.
TEST(CheckRequestTest, AModelWithoutSignaturesSaysWhy) {
  const ModelInfo info{"tensorflow", {}, {}, {"export it with signatures"}, {}};
  EXPECT_EQ(CheckRequest(info, {}),
            absl::FailedPreconditionError(
                "Serving signature key \"serving_default\" not found. The model has {}. Note: "
                "export it with signatures."));
}

TEST(CheckRequestTest, ASignatureThatIsLeftOutSaysWhy) {
  const ModelInfo info{
      "tensorflow", {{"a", "", {}, {}}}, {}, {"a note"}, {{"raw", "it is sparse"}}};
  InferRequest request;
  request.signature_name = "raw";
  EXPECT_EQ(CheckRequest(info, request),
            absl::FailedPreconditionError(
                "Serving signature key \"raw\" not found. It is left out: it is sparse. The "
                "model has {\"a\"}."));
  request.signature_name = "b";
  EXPECT_EQ(CheckRequest(info, request),
            absl::FailedPreconditionError(
                "Serving signature key \"b\" not found. The model has {\"a\"}."));
}

}  // namespace
}  // namespace penstock
