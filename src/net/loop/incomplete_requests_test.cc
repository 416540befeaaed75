// SPDX-License-Identifier: Apache-2.0
#include "net/loop/incomplete_requests.h"

#include <gtest/gtest.h>

#include <utility>
#include <vector>

namespace penstock::net {
namespace {

constexpr int kPerSender = 2;

// A connection that only counts. One thread.
class FakeSender final : public RequestSender {
 public:
  FakeSender(IncompleteRequests& requests, LocalAllowance& bytes)
      : bytes_(bytes), requests_(requests) {}
  ~FakeSender() override { DropIncomplete(Shortage::kPlaces); }

  bool Begin() {
    const bool may_begin = requests_.Begin(*this);
    if (may_begin) ++begun;
    return may_begin;
  }
  void Complete() {
    --begun;
    requests_.End(*this, /*is_complete=*/true);
  }
  void DropIncomplete(Shortage shortage) override {
    for (; begun > 0; --begun) requests_.End(*this, /*is_complete=*/false);
    if (shortage == Shortage::kMemory) bytes_.Give(std::exchange(held, 0));
  }
  void OnNoMemory() override { ++refused; }
  // Begins a request that holds `bytes`.
  bool BeginWith(uint64_t bytes) {
    const SenderScope scope(requests_, *this);
    if (!Begin()) return false;
    if (!bytes_.TryTake(bytes) && !requests_.TryTakeBack(bytes_, bytes)) return false;
    held += bytes;
    return true;
  }

  int begun = 0;
  int refused = 0;
  uint64_t held = 0;

 private:
  LocalAllowance& bytes_;
  IncompleteRequests& requests_;
};

// A limit of 10 for all senders. One thread.
class IncompleteRequestsTest : public testing::Test {
 protected:
  Allowance allowance_{10};
  IncompleteRequests requests_{allowance_, /*loops=*/1, kPerSender};
  Allowance budget_{1000};
  LocalAllowance bytes_{budget_, /*loops=*/1, /*lot_max=*/1, /*kept=*/100};
  FakeSender first_{requests_, bytes_};
  FakeSender second_{requests_, bytes_};
  FakeSender third_{requests_, bytes_};
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
  first_.DropIncomplete(RequestSender::Shortage::kPlaces);
  EXPECT_EQ(allowance_.left(), 0u);
}

TEST_F(IncompleteRequestsTest, AllOfThemAreGivenBack) {
  std::vector<FakeSender*> senders = {&first_, &second_, &third_};
  for (int i = 0; i < 100; ++i) {
    (void)senders[static_cast<size_t>(i) % 3]->Begin();
    if (i % 7 == 0 && second_.begun > 0) second_.Complete();
  }
  for (FakeSender* sender : senders) sender->DropIncomplete(RequestSender::Shortage::kPlaces);
  for (int i = 0; i < 10; ++i) EXPECT_TRUE(third_.Begin());
  EXPECT_FALSE(third_.Begin());
}

TEST_F(IncompleteRequestsTest, AFullBudgetTakesMemoryBackFromSendersThatCompletedNone) {
  EXPECT_TRUE(first_.BeginWith(400));
  EXPECT_TRUE(second_.BeginWith(500));
  EXPECT_TRUE(third_.BeginWith(300));
  EXPECT_EQ(first_.begun, 0);
  EXPECT_EQ(second_.begun, 1);
  EXPECT_EQ(third_.refused, 0);
}

TEST_F(IncompleteRequestsTest, AFullBudgetTakesNothingFromSendersThatCompletedOne) {
  requests_.NoteComplete(first_);
  EXPECT_TRUE(first_.BeginWith(900));
  EXPECT_FALSE(second_.BeginWith(300));
  EXPECT_EQ(first_.begun, 1);
  EXPECT_EQ(second_.refused, 1);
}

TEST_F(IncompleteRequestsTest, ASenderThatOnlyBeginsManyTakesNoMemoryFromOthers) {
  EXPECT_TRUE(first_.BeginWith(400));
  for (int i = 0; i < kPerSender; ++i) EXPECT_TRUE(second_.BeginWith(200));
  EXPECT_FALSE(second_.BeginWith(200));
  EXPECT_EQ(first_.begun, 1);
  EXPECT_EQ(second_.refused, 1);
}

TEST_F(IncompleteRequestsTest, ASlowSenderCountsAsOneThatCompletedNone) {
  for (FakeSender* sender : {&first_, &second_}) {
    requests_.NoteComplete(*sender);
    EXPECT_TRUE(sender->BeginWith(450));
  }
  const Duration second = std::chrono::seconds(1);
  for (int i = 0; i < kSlowTicks; ++i) {
    requests_.NoteProgress(first_, kSlowBytesPerSecond, second);
    requests_.NoteProgress(second_, kSlowBytesPerSecond - 1, second);
  }
  EXPECT_TRUE(third_.BeginWith(300));
  EXPECT_EQ(first_.begun, 1);
  EXPECT_EQ(second_.begun, 0);
}

// A client with a large upload sends small requests beside it, each in one read.
TEST_F(IncompleteRequestsTest, ARequestThatNeverCountedMakesItsSenderKnown) {
  EXPECT_TRUE(first_.BeginWith(400));
  EXPECT_TRUE(second_.BeginWith(400));
  requests_.NoteComplete(first_);
  requests_.DropUntilLeft(budget_, 300);
  EXPECT_EQ(first_.begun, 1);
  EXPECT_EQ(second_.begun, 0);
}

TEST_F(IncompleteRequestsTest, MemoryIsTakenBackForOtherLoops) {
  EXPECT_TRUE(first_.BeginWith(400));
  EXPECT_TRUE(second_.BeginWith(400));
  requests_.DropUntilLeft(budget_, 300);
  EXPECT_EQ(first_.begun, 0);
  EXPECT_EQ(second_.begun, 1);
}

}  // namespace
}  // namespace penstock::net
