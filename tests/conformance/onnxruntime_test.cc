// SPDX-License-Identifier: Apache-2.0
// What the ONNX Runtime backend has beyond what every backend does: it tells scalars from tensors
// of unknown rank.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <limits>

#include "backend_fixture.h"

namespace penstock {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

std::unique_ptr<Model> Load(const std::string& path) {
  static const std::unique_ptr<BackendHost> host = MakeHost("onnxruntime");
  return *host->Load(path, {});
}

TEST(OnnxRuntimeTest, ScalarsAreDescribedAsScalars) {
  const auto model = Load(TestModel("scalars_onnx"));
  const Signature* signature = model->info().FindSignature("");
  ASSERT_NE(signature, nullptr);
  for (const char* name : {"a", "b"}) {
    EXPECT_FALSE(signature->FindInput(name)->unknown_rank) << name;
    EXPECT_EQ(signature->FindInput(name)->shape, Shape()) << name;
  }
  for (const char* name : {"sum", "product"}) {
    EXPECT_FALSE(signature->FindOutput(name)->unknown_rank) << name;
  }
  const InferResponse row = RunModel(*model, {{"a", Floats({1})}, {"b", Floats({2})}});
  EXPECT_EQ(row.status.code(), StatusCode::kInvalidArgument) << row.status;
}

TEST(OnnxRuntimeTest, TensorsOfUnknownRankTakeAnyShape) {
  const auto model = Load(TestModel("any_rank_onnx"));
  const Signature* signature = model->info().FindSignature("");
  ASSERT_NE(signature, nullptr);
  EXPECT_TRUE(signature->FindInput("x")->unknown_rank);
  EXPECT_TRUE(signature->FindOutput("y")->unknown_rank);
  for (int run = 0; run < 2; ++run) {
    EXPECT_THAT(Values<float>(Output(RunModel(*model, {{"x", Floats({1, 2})}}), "y")),
                ElementsAre(2, 4));
    const Tensor scalar = MakeTensor<float>(DType::kFloat32, {}, {3});
    EXPECT_EQ(Output(RunModel(*model, {{"x", scalar}}), "y").shape(), Shape());
  }
}

Tensor Int64s(const std::vector<int64_t>& values) {
  return MakeTensor(DType::kInt64, {static_cast<int64_t>(values.size())}, values);
}

// Each of these ended the process: SIGFPE.
TEST(OnnxRuntimeTest, IntegerDivisionsThatDoNotFitWrap) {
  const auto model = Load(TestModel("division_onnx"));
  constexpr int64_t kSmallest = std::numeric_limits<int64_t>::min();
  const InferResponse response =
      RunModel(*model, {{"a", Int64s({kSmallest, 7})}, {"b", Int64s({-1, -2})}});
  ASSERT_TRUE(response.status.ok()) << response.status;
  EXPECT_THAT(Values<int64_t>(Output(response, "quotient")), ElementsAre(kSmallest, -3));
  EXPECT_THAT(Values<int64_t>(Output(response, "remainder")), ElementsAre(0, -1));
  EXPECT_THAT(Values<int64_t>(Output(response, "sum")), ElementsAre(kSmallest, -4));
  const InferResponse by_zero = RunModel(*model, {{"a", Int64s({7})}, {"b", Int64s({0})}});
  EXPECT_FALSE(by_zero.status.ok());
  EXPECT_THAT(std::string(MessageOf(by_zero.status)), HasSubstr("by zero"));
}

TEST(OnnxRuntimeTest, OutputsComeInTheOrderOfTheirNames) {
  const auto model = Load(TestModel("many_outputs_onnx"));
  EXPECT_THAT(OutputNames(RunModel(*model, {{"x", Floats({1})}})),
              ElementsAre("as_int64", "half", "positive", "text", "total"));
}

}  // namespace
}  // namespace penstock
