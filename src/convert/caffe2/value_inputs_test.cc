// SPDX-License-Identifier: Apache-2.0
#include "convert/caffe2/value_inputs.h"

#include <gtest/gtest.h>

#include "onnx/onnx.pb.h"

namespace penstock::convert {
namespace {

std::string WhyJsonRefused(std::string_view json) {
  const StatusOr<std::vector<ValueInput>> inputs = ParseValueInputs(json);
  EXPECT_FALSE(inputs.ok()) << json;
  return std::string(MessageOf(inputs.status()));
}

TEST(ValueInputs, HaveTypesAndShapes) {
  const auto inputs = ParseValueInputs(R"({"data_0": [1, [1, 3, 227, 227]], "ids": [10, [4]]})");
  ASSERT_TRUE(inputs.ok()) << inputs.status();
  ASSERT_EQ(inputs->size(), 2U);
  EXPECT_EQ((*inputs)[0].name, "data_0");
  EXPECT_EQ((*inputs)[0].type, onnx::TensorProto::FLOAT);
  EXPECT_EQ((*inputs)[0].dims, (Dims{1, 3, 227, 227}));
  EXPECT_EQ((*inputs)[1].type, onnx::TensorProto::INT64);
  EXPECT_EQ((*inputs)[1].dims, Dims{4});
}

TEST(ValueInputs, MayBeScalars) {
  const auto inputs = ParseValueInputs(R"({"x": [13, []]})");
  ASSERT_TRUE(inputs.ok());
  EXPECT_EQ((*inputs)[0].dims, Dims{});
}

TEST(ValueInputs, ErrorsSayWhatIsWrong) {
  EXPECT_NE(WhyJsonRefused("{").find("it is no JSON"), std::string::npos);
  EXPECT_NE(WhyJsonRefused("[1]").find("it is no JSON object"), std::string::npos);
  EXPECT_NE(WhyJsonRefused("{}").find("it names no input"), std::string::npos);
  EXPECT_EQ(WhyJsonRefused(R"({"": [1, [1]]})"), "an input has no name");
  EXPECT_EQ(WhyJsonRefused(R"({"x": [1, [1]], "x": [1, [1]]})"), "the input 'x' is there twice");
  EXPECT_NE(WhyJsonRefused(R"({"x": 1})").find("'x' has no type and shape"), std::string::npos);
  EXPECT_NE(WhyJsonRefused(R"({"x": [1, [1], 2]})").find("'x' has no type"), std::string::npos);
  EXPECT_NE(WhyJsonRefused(R"({"x": ["1", [1]]})").find("the type is no number"),
            std::string::npos);
  EXPECT_NE(WhyJsonRefused(R"({"x": [4, [1]]})").find("the type 4 is none"), std::string::npos);
  EXPECT_NE(WhyJsonRefused(R"({"x": [11, [1]]})").find("the type 11 is none"), std::string::npos);
  EXPECT_NE(WhyJsonRefused(R"({"x": [1, 3]})").find("no list of sizes"), std::string::npos);
  EXPECT_NE(WhyJsonRefused(R"({"x": [1, [1, -1]]})").find("size 1 of the shape"),
            std::string::npos);
  EXPECT_NE(WhyJsonRefused(R"({"x": [1, [4294967296]]})").find("size 0"), std::string::npos);
  std::string many = R"({"x": [1, [1)";
  for (int i = 0; i < 40; ++i) many += ", 1";
  EXPECT_NE(WhyJsonRefused(many + "]]}").find("at most 32 sizes"), std::string::npos);
}

}  // namespace
}  // namespace penstock::convert
