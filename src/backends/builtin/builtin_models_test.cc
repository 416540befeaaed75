// SPDX-License-Identifier: Apache-2.0
#include "backends/builtin/builtin_models.h"

#include <gtest/gtest.h>

#include <cstring>

namespace penstock {
namespace {

InferResponse RunModel(Model& model, const InferRequest& request) {
  InferResponse answer;
  int calls = 0;
  model.Run(request, [&](InferResponse response) {
    answer = std::move(response);
    ++calls;
  });
  EXPECT_EQ(calls, 1);
  EXPECT_TRUE(answer.is_last);
  return answer;
}

TEST(BuiltinModelsTest, HalfPlusTwoOfAnySizeAndAlignment) {
  const auto model = MakeBuiltinModel("builtin:half_plus_two");
  ASSERT_TRUE(model.ok());
  for (const int64_t count : {0, 1, 15, 16, 17, 1000}) {
    for (const size_t offset : {0U, 1U}) {
      const size_t bytes = static_cast<size_t>(count) * sizeof(float);
      BufferRef buffer = AllocateBuffer(bytes + offset);
      for (int64_t i = 0; i < count; ++i) {
        const float value = static_cast<float>(i);
        std::memcpy(buffer->data() + offset + static_cast<size_t>(i) * sizeof(float), &value,
                    sizeof(value));
      }
      InferRequest request;
      request.inputs.push_back({"x", *Tensor::FromBytes(DType::kFloat32, {count, 1},
                                                        {buffer->data() + offset, bytes, buffer})});
      ASSERT_TRUE(CheckInputs((*model)->info().signatures[0], {}, request).ok());
      const InferResponse answer = RunModel(**model, request);
      ASSERT_TRUE(answer.status.ok());
      ASSERT_EQ(answer.outputs.size(), 1U);
      EXPECT_EQ(answer.outputs[0].name, "y");
      EXPECT_EQ(answer.outputs[0].tensor.shape(), Shape({count, 1}));
      for (int64_t i = 0; i < count; ++i) {
        EXPECT_EQ(answer.outputs[0].tensor.as<float>()[static_cast<size_t>(i)],
                  static_cast<float>(i) / 2 + 2);
      }
    }
  }
}

TEST(BuiltinModelsTest, IdentityReturnsTheSameBytes) {
  const auto model = MakeBuiltinModel("builtin:identity");
  ASSERT_TRUE(model.ok());
  InferRequest request;
  request.inputs.push_back({"a", *Tensor::Allocate(DType::kInt8, {3})});
  request.inputs.push_back({"b", *Tensor::Allocate(DType::kString, {2})});
  InferResponse answer = RunModel(**model, request);
  ASSERT_EQ(answer.outputs.size(), 2U);
  EXPECT_EQ(answer.outputs[0].name, "a");
  EXPECT_EQ(answer.outputs[0].tensor.data(), request.inputs[0].tensor.data());
  request.output_filter = {"b"};
  answer = RunModel(**model, request);
  ASSERT_EQ(answer.outputs.size(), 1U);
  EXPECT_EQ(answer.outputs[0].name, "b");
  request.output_filter = {"b", "c"};
  answer = RunModel(**model, request);
  EXPECT_EQ(answer.status.code(), StatusCode::kInvalidArgument);
  EXPECT_TRUE(answer.outputs.empty());
}

TEST(BuiltinModelsTest, UnknownNameListsTheKnownOnes) {
  EXPECT_TRUE(IsBuiltinPath("builtin:x"));
  EXPECT_FALSE(IsBuiltinPath("/models/x"));
  MetricsRegistry metrics;
  const Status status = MakeBuiltinModel("builtin:x").status();
  EXPECT_EQ(status, absl::NotFoundError(
                        "there is no built-in model \"builtin:x\"; there are "
                        "builtin:delay, builtin:half_plus_two, builtin:identity, builtin:stream"));
  EXPECT_EQ(MakeBuiltinLoader({"m", {1}}, "identity", metrics).status().code(),
            StatusCode::kNotFound);
  EXPECT_TRUE((*MakeBuiltinLoader({"m", {1}}, "builtin:identity", metrics))->Load().ok());
}

}  // namespace
}  // namespace penstock
