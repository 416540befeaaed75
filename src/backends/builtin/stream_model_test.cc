// SPDX-License-Identifier: Apache-2.0
#include "backends/builtin/stream_model.h"

#include <gtest/gtest.h>

#include <chrono>
#include <string_view>
#include <vector>

namespace penstock {
namespace {

class StreamModelTest : public testing::Test {
 protected:
  void Set(std::string_view input, int64_t value) {
    Tensor tensor = *Tensor::Allocate(DType::kInt64, {});
    tensor.mutable_as<int64_t>()[0] = value;
    request_.inputs.push_back({input, std::move(tensor)});
  }
  void Run() {
    ASSERT_TRUE(CheckInputs(model_->info().signatures[0], {}, request_).ok());
    model_->Run(request_, [this](InferResponse part) {
      parts_.push_back(std::move(part));
      on_part_();
    });
  }

  const std::unique_ptr<Model> model_ = MakeStreamModel();
  FlowControl flow_;
  CancelToken cancel_;
  InferRequest request_;
  std::vector<InferResponse> parts_;
  std::function<void()> on_part_ = [] {};
};

TEST_F(StreamModelTest, GivesAsManyPartsAsTheRequestAsksFor) {
  Set("count", 3);
  Set("size", 2);
  Run();
  ASSERT_EQ(parts_.size(), 3U);
  for (size_t i = 0; i < 3; ++i) {
    EXPECT_EQ(parts_[i].is_last, i == 2);
    ASSERT_EQ(parts_[i].outputs.size(), 2U);
    EXPECT_EQ(parts_[i].outputs[0].tensor.as<float>()[1], static_cast<float>(i));
    EXPECT_EQ(parts_[i].outputs[1].tensor.as<int64_t>()[0], static_cast<int64_t>(i));
  }
}

TEST_F(StreamModelTest, FailsInTheMiddle) {
  Set("count", 5);
  Set("fail_at", 2);
  Run();
  ASSERT_EQ(parts_.size(), 3U);
  EXPECT_EQ(parts_[2].status.code(), StatusCode::kInternal);
  EXPECT_TRUE(parts_[2].is_last);
}

TEST_F(StreamModelTest, WaitsForASlowReceiver) {
  Set("count", 4);
  request_.flow = &flow_;
  on_part_ = [this] { flow_.SetSlow(); };
  Run();
  for (size_t count = 1; count < 4; ++count) {
    EXPECT_EQ(parts_.size(), count);
    flow_.SetReady();
  }
  ASSERT_EQ(parts_.size(), 4U);
  EXPECT_TRUE(parts_[3].is_last);
}

TEST_F(StreamModelTest, ACancelEndsIt) {
  Set("count", 1000);
  Set("delay_us", 60'000'000);
  request_.cancel = &cancel_;
  cancel_.Cancel();
  Run();
  ASSERT_EQ(parts_.size(), 1U);
  EXPECT_EQ(parts_[0].status.code(), StatusCode::kCancelled);
}

TEST_F(StreamModelTest, ADeadlineEndsIt) {
  Set("count", 1000);
  Set("delay_us", 60'000'000);
  request_.deadline = Clock::Real().Now();
  Run();
  ASSERT_EQ(parts_.size(), 1U);
  EXPECT_EQ(parts_[0].status.code(), StatusCode::kDeadlineExceeded);
}

TEST_F(StreamModelTest, RefusesACountOfNone) {
  Set("count", 0);
  Run();
  ASSERT_EQ(parts_.size(), 1U);
  EXPECT_EQ(parts_[0].status.message(), "the input 'count' is 0; it must be 1 to 1000000000");
}

}  // namespace
}  // namespace penstock
