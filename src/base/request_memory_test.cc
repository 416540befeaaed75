// SPDX-License-Identifier: Apache-2.0
#include "base/request_memory.h"

#include <gtest/gtest.h>

#include <optional>

#include "base/sanitized.h"

namespace penstock {
namespace {

constexpr size_t kPart = 10'000;

// Not thread-safe.
class PlainCounter final : public Counter {
 public:
  void Add(uint64_t count) override { value_ += count; }
  uint64_t Value() const override { return value_; }

 private:
  uint64_t value_ = 0;
};

// A budget of ten parts.
class RequestMemoryTest : public testing::Test {
 protected:
  uint64_t Held() const { return budget_->total() - budget_->left(); }

  PlainCounter refusals_;
  RequestBudget budget_ = std::make_shared<RequestAllowance>(10 * kPart, refusals_);
  RequestMemory memory_{UINT64_MAX, &budget_};
};

TEST_F(RequestMemoryTest, CountsABufferAsLongAsItLives) {
  std::optional<BufferRef> buffer(*memory_.Allocate(kPart));
  EXPECT_EQ((*buffer)->size(), kPart);
  EXPECT_EQ(Held(), kPart);
  const BufferRef other = *buffer;
  buffer.reset();
  EXPECT_EQ(Held(), kPart);
}

TEST_F(RequestMemoryTest, RefusesMoreThanTheBudget) {
  {
    const BufferRef most = *memory_.Allocate(9 * kPart);
    const Status status = memory_.Allocate(2 * kPart).status();
    EXPECT_EQ(status.code(), StatusCode::kResourceExhausted);
    EXPECT_NE(MessageOf(status).find("--inflight_bytes_max"), std::string_view::npos);
    EXPECT_EQ(budget_->refusals(), 1U);
    EXPECT_TRUE(memory_.Allocate(kPart).ok());
  }
  EXPECT_EQ(Held(), 0U);
  EXPECT_TRUE(memory_.Allocate(10 * kPart).ok());
}

TEST_F(RequestMemoryTest, SmallBuffersAreNotCounted) {
  const BufferRef buffer = *memory_.Allocate(kCountedBytesMin - 1);
  EXPECT_EQ(Held(), 0U);
}

TEST_F(RequestMemoryTest, AFailedAllocationGivesItsCountBack) {
  if (kIsSanitized) GTEST_SKIP() << "sanitizers end the program at an allocation of this size";
  budget_ = std::make_shared<RequestAllowance>(INT64_MAX, refusals_);
  EXPECT_EQ(memory_.Allocate(size_t{1} << 60).status().code(), StatusCode::kResourceExhausted);
  EXPECT_EQ(Held(), 0U);
  RequestMemory uncounted(UINT64_MAX);
  EXPECT_EQ(uncounted.Allocate(size_t{1} << 60).status().code(), StatusCode::kResourceExhausted);
}

TEST_F(RequestMemoryTest, AnUnsentAnswerIsCountedOnce) {
  const BufferRef counted = *memory_.Allocate(kPart);
  {
    ByteChain answer(WholeSlice(counted));
    answer.Append(WholeSlice(AllocateBuffer(2 * kPart)));
    answer.AppendCopy("small");
    ASSERT_TRUE(memory_.Count(answer).ok());
    EXPECT_EQ(Held(), 3 * kPart);
    ASSERT_TRUE(memory_.Count(answer).ok());
    EXPECT_EQ(Held(), 3 * kPart) << "it is counted already";
    ByteChain too_large(WholeSlice(AllocateBuffer(8 * kPart)));
    EXPECT_EQ(memory_.Count(too_large).code(), StatusCode::kResourceExhausted);
    EXPECT_EQ(budget_->refusals(), 1U);
  }
  EXPECT_EQ(Held(), kPart);
}

TEST_F(RequestMemoryTest, AnEventLoopAllocatesOnlySmallBuffers) {
  memory_.LimitInline(1000);
  EXPECT_TRUE(memory_.Allocate(600).ok());
  EXPECT_FALSE(memory_.is_too_large_inline());
  EXPECT_FALSE(memory_.Allocate(600).ok());
  EXPECT_TRUE(memory_.is_too_large_inline());
}

}  // namespace
}  // namespace penstock
