// SPDX-License-Identifier: Apache-2.0
#include "infer/signature.h"

#include <gtest/gtest.h>

namespace penstock {
namespace {

TensorSpec Spec(std::string name, DType dtype, Shape shape) {
  TensorSpec spec;
  spec.name = std::move(name);
  spec.dtype = dtype;
  spec.shape = std::move(shape);
  return spec;
}

// a: int32 [], b: float [-1,3], c: any shape, may be left out; outputs y and z.
Signature TestSignature() {
  Signature signature;
  signature.name = "serving_default";
  signature.inputs = {Spec("a", DType::kInt32, {}), Spec("b", DType::kFloat32, {-1, 3}),
                      Spec("c", DType::kInt64, {})};
  signature.inputs[2].optional = true;
  signature.inputs[2].unknown_rank = true;
  signature.outputs = {Spec("y", DType::kFloat32, {-1}), Spec("z", DType::kFloat32, {-1})};
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
  EXPECT_EQ(Message(), "input \"b\": got type int64, expected float32");
}

TEST_F(CheckInputsTest, WrongTypeAndShape) {
  request_.inputs[0] = Input("b", DType::kInt64, {2, 3});
  EXPECT_EQ(Message(), "input \"b\": got type int64, expected float32");
  request_.inputs[0] = Input("b", DType::kFloat32, {2, 4});
  EXPECT_EQ(Message(), "input \"b\": got shape [2,4], expected [-1,3] (-1 stands for any size)");
  request_.inputs[0] = Input("b", DType::kFloat32, {3});
  EXPECT_EQ(Message(), "input \"b\": got shape [3], expected [-1,3] (-1 stands for any size)");
  request_.inputs[0] = Input("b", DType::kFloat32, {2, 3});
  request_.inputs[1] = Input("a", DType::kInt32, {1});
  EXPECT_EQ(Message(), "input \"a\": got shape [1], expected []");
}

TEST_F(CheckInputsTest, MissingExtraAndRepeatedNames) {
  request_.inputs.pop_back();
  EXPECT_EQ(
      Message(),
      "inputs do not match signature \"serving_default\": it takes {\"a\", \"b\", \"c\"}, sent "
      "were {\"b\"}. Sent extra: {}. Missing but required: {\"a\"}.");
  request_.inputs.push_back(Input("x", DType::kInt32, {}));
  EXPECT_EQ(
      Message(),
      "inputs do not match signature \"serving_default\": it takes {\"a\", \"b\", \"c\"}, sent "
      "were {\"b\", \"x\"}. Sent extra: {\"x\"}. Missing but required: {\"a\"}.");
  request_.inputs[1] = Input("b", DType::kFloat32, {2, 3});
  EXPECT_EQ(Message(), "input \"b\" was sent twice");
}

TEST_F(CheckInputsTest, MessageStaysShort) {
  const std::string name(10'000, 'n');
  for (int i = 0; i < 1000; ++i) request_.inputs.push_back(Input(name, DType::kInt32, {}));
  EXPECT_LT(Message().size(), 10'000U);
}

TEST_F(CheckInputsTest, OutputFilter) {
  request_.output_filter = {"y", "q"};
  EXPECT_EQ(Message(),
            "output filter: signature \"serving_default\" has no output \"q\", but {\"y\", \"z\"}");
  request_.output_filter = {"y", "z", "y"};
  EXPECT_EQ(Message(), "output filter: output \"y\" is named twice");
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

}  // namespace
}  // namespace penstock
