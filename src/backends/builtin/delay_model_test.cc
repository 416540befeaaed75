// SPDX-License-Identifier: Apache-2.0
#include "backends/builtin/delay_model.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>

#include <optional>
#include <vector>

namespace penstock {
namespace {

// Runs the model with these values of its input. A run that takes its whole time would take long.
Status RunDelay(const std::vector<int64_t>& values, CancelToken* cancel = nullptr,
                SteadyTime deadline = kNoDeadline) {
  InferRequest request;
  Tensor input = *Tensor::Allocate(DType::kInt64, {static_cast<int64_t>(values.size())});
  std::copy(values.begin(), values.end(), input.mutable_as<int64_t>().begin());
  request.inputs.push_back({"delay_us", input});
  request.cancel = cancel;
  request.deadline = deadline;
  std::optional<Status> status;
  MakeDelayModel()->Run(request, [&](InferResponse part) {
    EXPECT_TRUE(part.is_last);
    EXPECT_EQ(part.outputs.size(), part.status.ok() ? 1U : 0U);
    status = std::move(part.status);
  });
  EXPECT_TRUE(status.has_value());
  return status.value_or(OkStatus());
}

TEST(DelayModelTest, GivesItsInputBack) {
  EXPECT_TRUE(RunDelay({}).ok());
  EXPECT_TRUE(RunDelay({1, 2}).ok());
}

TEST(DelayModelTest, EndsWhenNobodyWaits) {
  CancelToken cancel;
  cancel.Cancel();
  EXPECT_EQ(RunDelay({60'000'000}, &cancel).code(), StatusCode::kCancelled);
  EXPECT_EQ(RunDelay({60'000'000}, nullptr, Clock::Real().Now()).code(),
            StatusCode::kDeadlineExceeded);
}

TEST(DelayModelTest, WrongTimesAreRefused) {
  EXPECT_EQ(RunDelay({-1}), absl::InvalidArgumentError(
                                "the input 'delay_us' has -1; its values must be 0 or more, and "
                                "their sum at most 60000000"));
  EXPECT_EQ(RunDelay({40'000'000, 40'000'000}).code(), StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace penstock
