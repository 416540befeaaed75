// SPDX-License-Identifier: Apache-2.0
#include "net/loop/incomplete_requests.h"

#include <gtest/gtest.h>

#include <vector>

namespace penstock::net {
namespace {

constexpr int kPerSender = 2;

// A connection that only counts. One thread.
class FakeSender final : public RequestSender {
 public:
  explicit FakeSender(IncompleteRequests& requests) : requests_(requests) {}
  ~FakeSender() override { DropIncomplete(); }

  bool Begin() {
    const bool may_begin = requests_.Begin(*this);
    if (may_begin) ++begun;
    return may_begin;
  }
  void Complete() {
    --begun;
    requests_.End(*this, /*is_complete=*/true);
  }
  void DropIncomplete() override {
    for (; begun > 0; --begun) requests_.End(*this, /*is_complete=*/false);
  }

  int begun = 0;

 private:
  IncompleteRequests& requests_;
};

// A limit of 10 for all senders. One thread.
class IncompleteRequestsTest : public testing::Test {
 protected:
  Allowance allowance_{10};
  IncompleteRequests requests_{allowance_, /*loops=*/1, kPerSender};
  FakeSender first_{requests_};
  FakeSender second_{requests_};
  FakeSender third_{requests_};
};

TEST_F(IncompleteRequestsTest, OneSenderMayHaveAllWhileNoOtherNeedsThem) {
  for (int i = 0; i < 10; ++i) EXPECT_TRUE(first_.Begin());
  EXPECT_FALSE(first_.Begin());
  first_.Complete();
  EXPECT_TRUE(first_.Begin());
}

TEST_F(IncompleteRequestsTest, AtTheLimitTheOldestSenderLosesItsRequests) {
  for (int i = 0; i < 5; ++i) EXPECT_TRUE(first_.Begin());
  for (int i = 0; i < 5; ++i) EXPECT_TRUE(second_.Begin());
  EXPECT_TRUE(third_.Begin());
  EXPECT_EQ(first_.begun, 0);
  EXPECT_EQ(second_.begun, 5);
}

TEST_F(IncompleteRequestsTest, SendersThatCompletedNoRequestLoseTheirsFirst) {
  EXPECT_TRUE(first_.Begin());
  first_.Complete();
  for (int i = 0; i < 5; ++i) EXPECT_TRUE(first_.Begin());
  for (int i = 0; i < 5; ++i) EXPECT_TRUE(second_.Begin());
  EXPECT_TRUE(third_.Begin());
  EXPECT_EQ(first_.begun, 5);
  EXPECT_EQ(second_.begun, 0);
}

TEST_F(IncompleteRequestsTest, OfThoseThatCompletedOneTheOneThatDidItLongAgoLosesThem) {
  for (FakeSender* sender : {&first_, &second_}) {
    EXPECT_TRUE(sender->Begin());
    sender->Complete();
    for (int i = 0; i < 5; ++i) EXPECT_TRUE(sender->Begin());
  }
  first_.Complete();
  EXPECT_TRUE(first_.Begin());
  EXPECT_TRUE(third_.Begin());
  EXPECT_EQ(first_.begun, 5);
  EXPECT_EQ(second_.begun, 0);
}

TEST_F(IncompleteRequestsTest, WhatOtherLoopsHoldLeavesAFewForEachSender) {
  ASSERT_TRUE(allowance_.TryTake(allowance_.left()));
  for (int i = 0; i < kPerSender; ++i) EXPECT_TRUE(first_.Begin());
  EXPECT_FALSE(first_.Begin());
  first_.DropIncomplete();
  EXPECT_EQ(allowance_.left(), 0u);
}

TEST_F(IncompleteRequestsTest, AllOfThemAreGivenBack) {
  std::vector<FakeSender*> senders = {&first_, &second_, &third_};
  for (int i = 0; i < 100; ++i) {
    (void)senders[static_cast<size_t>(i) % 3]->Begin();
    if (i % 7 == 0 && second_.begun > 0) second_.Complete();
  }
  for (FakeSender* sender : senders) sender->DropIncomplete();
  for (int i = 0; i < 10; ++i) EXPECT_TRUE(third_.Begin());
  EXPECT_FALSE(third_.Begin());
}

}  // namespace
}  // namespace penstock::net
