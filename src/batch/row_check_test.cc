// SPDX-License-Identifier: Apache-2.0
#include "batch/row_check.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "infer/model_fake.h"

namespace penstock::batch {
namespace {

using ::testing::HasSubstr;

// x [-1, width] of a type -> y of the same shape.
ModelInfo Info(DType dtype, int64_t width = -1) {
  ModelInfo info = FakeInfo({});
  TensorSpec x, y;
  x.name = "x";
  y.name = "y";
  x.dtype = y.dtype = dtype;
  x.shape = y.shape = Shape{-1, width};
  info.signatures[0].inputs = {x};
  info.signatures[0].outputs = {y};
  return info;
}

// Makes the output tensor for an input.
using Function = std::function<StatusOr<Tensor>(const Tensor&)>;

Status Check(const ModelInfo& info, const Function& function,
             const std::vector<const InferRequest*>& samples = {}) {
  CancelToken cancel;
  FakeModel model(info, [&](const InferRequest& request, ResponseCallback done) {
    InferResponse response;
    StatusOr<Tensor> y = function(request.inputs.front().tensor);
    response.status = y.status();
    if (y.ok()) response.outputs.push_back({"y", *std::move(y)});
    done(std::move(response));
  });
  return CheckRowsAreIndependent(model, model.info().signatures[0], samples, cancel);
}

Tensor Copy(const Tensor& x) {
  Tensor y = *Tensor::Allocate(x.dtype(), x.shape());
  if (x.bytes() > 0) std::memcpy(y.mutable_data(), x.data(), x.bytes());
  if (x.dtype() == DType::kString) y.set_string_owner(x.elements().owner);
  return y;
}

StatusOr<Tensor> Identity(const Tensor& x) { return Copy(x); }

StatusOr<Tensor> AddSumOfAll(const Tensor& x) {
  Tensor y = Copy(x);
  float sum = 0;
  for (const float each : x.as<float>()) sum += each;
  for (float& each : y.mutable_as<float>()) each += sum;
  return y;
}

// The sum of each row, over the elements that `wanted` accepts.
StatusOr<Tensor> RowSums(const Tensor& x, bool (*wanted)(float)) {
  const int64_t rows = x.shape().dim(0), width = x.shape().dim(1);
  Tensor y = *Tensor::Allocate(DType::kFloat32, {rows, 1});
  for (int64_t i = 0; i < rows; ++i) {
    float& sum = y.mutable_as<float>()[static_cast<size_t>(i)] = 0;
    for (const float each :
         x.as<float>().subspan(static_cast<size_t>(i * width), static_cast<size_t>(width)))
      sum += wanted(each) ? each + 1 : 0;
  }
  return y;
}

TEST(PaddingCheckTest, PaddingThatChangesAnswersIsFound) {
  const auto check = [](const Function& function, std::vector<const InferRequest*> samples = {}) {
    CancelToken cancel;
    FakeModel model(Info(DType::kFloat32), [&](const InferRequest& request, ResponseCallback done) {
      InferResponse response;
      StatusOr<Tensor> y = function(request.inputs.front().tensor);
      response.status = y.status();
      if (y.ok()) response.outputs.push_back({"y", *std::move(y)});
      done(std::move(response));
    });
    const Signature& signature = model.info().signatures[0];
    const PadPlan pad = *PadPlan::Make(signature, {.rules = {{.input = "x", .value = "-5"}}});
    return CheckPadding(model, signature, pad, samples, cancel);
  };
  const Function ignores_it = [](const Tensor& x) {
    return RowSums(x, [](float each) { return each != -5; });
  };
  const Function sums_it = [](const Tensor& x) { return RowSums(x, [](float) { return true; }); };
  EXPECT_TRUE(check(ignores_it).ok());
  EXPECT_EQ(MessageOf(check(sums_it)), "padding changes the output 'y' of a request");
  EXPECT_EQ(MessageOf(check(Identity)), "padding changes the output 'y' of a request")
      << "it is not cut";
  EXPECT_TRUE(check([](const Tensor&) { return StatusOr<Tensor>(absl::InternalError("no")); }).ok())
      << "nothing can be tried";
  // A model that pads matter to only where the sample is.
  InferRequest sample;
  Tensor x = *Tensor::Allocate(DType::kFloat32, {2, 6});
  for (float& each : x.mutable_as<float>()) each = 77;
  sample.inputs.push_back({"x", std::move(x)});
  const Function sums_it_with_77 = [](const Tensor& input) {
    const bool all = input.as<float>()[0] == 77;
    return all ? RowSums(input, [](float) { return true; })
               : RowSums(input, [](float each) { return each != -5; });
  };
  EXPECT_TRUE(check(sums_it_with_77).ok());
  EXPECT_FALSE(check(sums_it_with_77, {&sample}).ok());
}

TEST(RowCheckTest, RowsOfEveryTypeAreCompared) {
  for (int number = 0; number < 30; ++number) {
    const auto type = DTypeFromTensorFlow(number);
    if (!type) continue;
    EXPECT_TRUE(Check(Info(*type), Identity).ok()) << DTypeName(*type);
    if (*type == DType::kString) continue;
    // A model that swaps the first row and the last one.
    const Status status = Check(Info(*type), [](const Tensor& x) -> StatusOr<Tensor> {
      Tensor y = Copy(x);
      const auto rows = static_cast<size_t>(x.shape().dim(0));
      const size_t bytes = x.bytes() / rows;
      std::memcpy(y.mutable_data(), x.data() + (rows - 1) * bytes, bytes);
      std::memcpy(y.mutable_data() + (rows - 1) * bytes, x.data(), bytes);
      return y;
    });
    EXPECT_THAT(status.message(), HasSubstr("the output 'y' of a row differs")) << DTypeName(*type);
  }
}

TEST(RowCheckTest, SmallDifferencesAreRounding) {
  const auto plus = [](float difference) {
    return [=](const Tensor& x) -> StatusOr<Tensor> {
      Tensor y = Copy(x);
      if (x.shape().dim(0) > 2) y.mutable_as<float>()[0] += difference;
      return y;
    };
  };
  EXPECT_TRUE(Check(Info(DType::kFloat32), plus(5e-5F)).ok());
  EXPECT_FALSE(Check(Info(DType::kFloat32), plus(5e-4F)).ok());
  const auto not_a_number = [](const Tensor& x) -> StatusOr<Tensor> {
    Tensor y = Copy(x);
    for (float& each : y.mutable_as<float>()) each = NAN;
    return y;
  };
  EXPECT_THAT(Check(Info(DType::kFloat32), not_a_number).message(),
              HasSubstr("most numbers of its output 'y' are infinite or NaN"));
}

// Divides each number by its row's sum of so many equal numbers, so that all are small.
StatusOr<Tensor> MixesALittle(const Tensor& x) {
  Tensor y = Copy(x);
  float largest = 0;
  for (const float each : x.as<float>()) largest = std::max(largest, std::abs(each));
  for (float& each : y.mutable_as<float>()) each = each / largest * 1e-5F;
  return y;
}

TEST(RowCheckTest, SmallAnswersAreComparedByTheirOwnSize) {
  EXPECT_FALSE(Check(Info(DType::kFloat32), MixesALittle).ok());
}

TEST(RowCheckTest, AnswersThatAreAllTheSameShowNothing) {
  const Status status = Check(Info(DType::kFloat32), [](const Tensor& x) -> StatusOr<Tensor> {
    Tensor y = Copy(x);
    for (float& each : y.mutable_as<float>()) each = 7;
    return y;
  });
  EXPECT_THAT(status.message(), HasSubstr("it answers all rows with the same values"));
}

TEST(RowCheckTest, InputsForWhichOnlySimpleValuesGiveNumbersAreFound) {
  // The logarithm of negative numbers is NaN. The mean over all rows is found with positive ones.
  const Status status = Check(Info(DType::kFloat32), [](const Tensor& x) -> StatusOr<Tensor> {
    Tensor y = Copy(x);
    float sum = 0;
    for (const float each : x.as<float>()) sum += std::log(each + 0.001F);
    for (float& each : y.mutable_as<float>()) each += sum;
    return y;
  });
  EXPECT_THAT(status.message(), HasSubstr("the output 'y' of a row differs"));
}

TEST(RowCheckTest, AModelThatMixesOnlyManyRowsIsFound) {
  const Status status = Check(Info(DType::kFloat32), [](const Tensor& x) -> StatusOr<Tensor> {
    return x.shape().dim(0) < 9 ? Copy(x) : AddSumOfAll(x);
  });
  EXPECT_THAT(status.message(), HasSubstr("the output 'y' of a row differs"));
}

// Splits texts at spaces: as many columns as the longest one has words.
StatusOr<Tensor> CountWords(const Tensor& x) {
  const auto words = [](std::string_view text) { return std::ranges::count(text, ' ') + 1; };
  int64_t longest = 0;
  for (const StringElement& text : x.strings()) longest = std::max(longest, words(text.view()));
  Tensor y = *Tensor::Allocate(DType::kInt64, {x.shape().dim(0), longest});
  std::ranges::fill(y.mutable_as<int64_t>(), 1);
  return y;
}

TEST(RowCheckTest, OutputsAsWideAsTheLongestRowAreFound) {
  EXPECT_FALSE(Check(Info(DType::kString), CountWords).ok());
}

TEST(RowCheckTest, OutputsWithoutTheRowsAreRefused) {
  const Status status = Check(Info(DType::kFloat32),
                              [](const Tensor& x) -> StatusOr<Tensor> { return x.Rows(0, 1); });
  EXPECT_EQ(status.code(), StatusCode::kFailedPrecondition);
  EXPECT_THAT(status.message(), HasSubstr("the output 'y' of 3 rows has the shape [1,4]"));
}

TEST(RowCheckTest, SizesAreGuessed) {
  std::vector<int64_t> widths;
  const Status status = Check(Info(DType::kFloat32), [&](const Tensor& x) -> StatusOr<Tensor> {
    widths.push_back(x.shape().dim(1));
    if (x.shape().dim(1) != 32) return absl::InvalidArgumentError("too narrow");
    return Copy(x);
  });
  EXPECT_TRUE(status.ok()) << status;
  EXPECT_EQ(widths, (std::vector<int64_t>{4, 1, 32, 32, 32, 32, 32, 32}))
      << "three rows, and then many: whole, the first, the others";
}

TEST(RowCheckTest, ModelThatRefusesWhatIsMadeUpIsNotBatched) {
  const Status status = Check(Info(DType::kFloat32), [](const Tensor&) -> StatusOr<Tensor> {
    return absl::InvalidArgumentError("not an image");
  });
  EXPECT_EQ(status.code(), StatusCode::kFailedPrecondition);
  EXPECT_THAT(status.message(), HasSubstr("not an image"));
}

TEST(RowCheckTest, SamplesAreUsedFirst) {
  InferRequest sample;
  sample.inputs.push_back({"x", *Tensor::Allocate(DType::kFloat32, {1, 7})});
  for (float& each : sample.inputs[0].tensor.mutable_as<float>()) each = 3;
  std::vector<int64_t> widths;
  const auto see = [&](const Tensor& x) -> StatusOr<Tensor> {
    widths.push_back(x.shape().dim(1));
    return Copy(x);
  };
  EXPECT_TRUE(Check(Info(DType::kFloat32), see, {&sample}).ok());
  EXPECT_EQ(widths, (std::vector<int64_t>{7, 7, 7}));
  EXPECT_FALSE(Check(Info(DType::kFloat32), AddSumOfAll, {&sample}).ok());
  sample.inputs[0].tensor = *Tensor::Allocate(DType::kFloat32, {20, 2});
  for (float& each : sample.inputs[0].tensor.mutable_as<float>()) each = 3;
  EXPECT_FALSE(Check(Info(DType::kFloat32), AddSumOfAll, {&sample}).ok());
}

}  // namespace
}  // namespace penstock::batch
