// SPDX-License-Identifier: Apache-2.0
#include "base/cancel.h"

#include <gtest/gtest.h>

#include <atomic>
#include <latch>
#include <memory>
#include <thread>

namespace penstock {
namespace {

TEST(CancelTokenTest, CallbackRunsOnceAtTheCancel) {
  CancelToken token;
  int calls = 0;
  token.SetCallback([&] { ++calls; });
  EXPECT_FALSE(token.IsCancelled());
  token.Cancel();
  token.Cancel();
  EXPECT_TRUE(token.IsCancelled());
  EXPECT_EQ(calls, 1);
}

TEST(CancelTokenTest, KeepsTheFirstReason) {
  CancelToken left;
  left.Cancel();
  left.Cancel(CancelReason::kDeadline);
  EXPECT_FALSE(left.HasExpired());
  CancelToken expired;
  expired.Cancel(CancelReason::kDeadline);
  expired.Cancel();
  EXPECT_TRUE(expired.IsCancelled());
  EXPECT_TRUE(expired.HasExpired());
}

TEST(CancelTokenTest, AMarkCancelsAndLeavesTheCallbackForLater) {
  CancelToken token;
  int calls = 0;
  token.SetCallback([&] { ++calls; });
  EXPECT_TRUE(token.Mark());
  EXPECT_TRUE(token.IsCancelled());
  EXPECT_FALSE(token.Mark());
  token.Cancel();
  EXPECT_EQ(calls, 0);
  token.RunCallback();
  token.RunCallback();
  EXPECT_EQ(calls, 1);
}

TEST(CancelTokenTest, CallbackSetAfterTheCancelRunsAtOnce) {
  CancelToken token;
  token.Cancel();
  int calls = 0;
  token.SetCallback([&] { ++calls; });
  EXPECT_EQ(calls, 1);
}

TEST(CancelTokenTest, CallbackOfACancelledTokenMayClearThatOfTheOther) {
  CancelToken outer, inner;
  bool is_over = false;
  inner.SetCallback([&] {
    inner.ClearCallback();
    outer.ClearCallback();
    is_over = true;
  });
  outer.SetCallback([&] {
    inner.Cancel();
    outer.ClearCallback();
  });
  outer.Cancel();
  EXPECT_TRUE(is_over);
}

TEST(CancelTokenTest, ClearedCallbackDoesNotRun) {
  CancelToken token;
  token.ClearCallback();
  int calls = 0;
  token.SetCallback([&] { ++calls; });
  token.ClearCallback();
  token.Cancel();
  EXPECT_EQ(calls, 0);
}

TEST(CancelTokenTest, CallbackMayClearItself) {
  CancelToken token;
  int calls = 0;
  token.SetCallback([&] {
    token.ClearCallback();
    ++calls;
  });
  token.Cancel();
  EXPECT_EQ(calls, 1);
}

TEST(CancelTokenTest, ClearWaitsForTheRunningCallback) {
  CancelToken token;
  std::latch started(1);
  std::latch go_on(1);
  std::atomic<bool> over{false};
  token.SetCallback([&] {
    started.count_down();
    go_on.wait();
    over = true;
  });
  std::thread canceller([&] { token.Cancel(); });
  started.wait();
  std::thread clearer([&] {
    token.ClearCallback();
    EXPECT_TRUE(over);
  });
  go_on.count_down();
  clearer.join();
  canceller.join();
}

// Set, clear and cancel race: the callback must not run after ClearCallback has returned.
TEST(CancelTokenTest, Races) {
  for (int round = 0; round < 500; ++round) {
    CancelToken token;
    auto owned = std::make_unique<std::atomic<int>>(0);
    std::thread canceller([&] { token.Cancel(); });
    token.SetCallback([raw = owned.get()] { ++*raw; });
    token.ClearCallback();
    EXPECT_LE(*owned, 1);
    owned.reset();
    canceller.join();
  }
}

TEST(CancelTokenTest, TheOutcomeIsWhatTheClientSaw) {
  EXPECT_EQ(OutcomeOf(StatusCode::kOk, nullptr), StatusCode::kOk);
  CancelToken open, left, late;
  left.Cancel();
  late.Cancel(CancelReason::kDeadline);
  EXPECT_EQ(OutcomeOf(StatusCode::kInternal, &open), StatusCode::kInternal);
  EXPECT_EQ(OutcomeOf(StatusCode::kOk, &left), StatusCode::kCancelled);
  EXPECT_EQ(OutcomeOf(StatusCode::kCancelled, &late), StatusCode::kDeadlineExceeded);
  CancelToken stopped;
  stopped.Cancel(CancelReason::kServerStops);
  EXPECT_EQ(OutcomeOf(StatusCode::kCancelled, &stopped), StatusCode::kUnavailable);
}

// Formerly, ClearCallback waited for ever.
TEST(CancelTokenTest, CallbackMayCancelAnotherTokenAndThenClearItself) {
  CancelToken outer, inner;
  int calls = 0;
  inner.SetCallback([&] { ++calls; });
  outer.SetCallback([&] {
    inner.Cancel();
    outer.ClearCallback();
    ++calls;
  });
  outer.Cancel();
  EXPECT_EQ(calls, 2);
  // The same if the token is cancelled before its callback is set.
  CancelToken other;
  other.SetCallback([&] { ++calls; });
  outer.SetCallback([&] {
    other.Cancel();
    outer.ClearCallback();
    ++calls;
  });
  EXPECT_EQ(calls, 4);
}

}  // namespace
}  // namespace penstock
