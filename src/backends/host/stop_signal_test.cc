// SPDX-License-Identifier: Apache-2.0
#include "backends/host/stop_signal.h"

#include <gtest/gtest.h>

#include <atomic>
#include <future>
#include <optional>
#include <thread>

#include "penstock/backend.h"

namespace penstock {
namespace {

// Counts the calls of one signal.
struct Counter {
  std::atomic<int> calls{0};
  std::promise<void> first;
  static void Call(void* self) {
    auto* counter = static_cast<Counter*>(self);
    if (++counter->calls == 1) counter->first.set_value();
  }
};

class StopSignalTest : public testing::Test {
 protected:
  static SteadyTime In(Duration time) { return Clock::Real().Now() + time; }

  DeadlineWatch watch_;
  CancelToken token_;
  Counter counter_;
};

TEST_F(StopSignalTest, NothingStopsARunWithoutTokenAndDeadline) {
  StopSignal signal(nullptr, kNoDeadline, watch_);
  EXPECT_EQ(signal.Reason(), PENSTOCK_OK);
  signal.Set(&Counter::Call, &counter_);
  signal.Clear();
  EXPECT_EQ(counter_.calls, 0);
}

TEST_F(StopSignalTest, ACancelCallsOnce) {
  StopSignal signal(&token_, kNoDeadline, watch_);
  signal.Set(&Counter::Call, &counter_);
  EXPECT_EQ(signal.Reason(), PENSTOCK_OK);
  token_.Cancel();
  token_.Cancel();
  EXPECT_EQ(counter_.calls, 1);
  EXPECT_EQ(signal.Reason(), PENSTOCK_CANCELLED);
  signal.Clear();
}

TEST_F(StopSignalTest, ACancelBeforeTheCallbackIsSetCallsAtOnce) {
  token_.Cancel();
  StopSignal signal(&token_, kNoDeadline, watch_);
  signal.Set(&Counter::Call, &counter_);
  EXPECT_EQ(counter_.calls, 1);
  signal.Clear();
}

TEST_F(StopSignalTest, APassedDeadlineCalls) {
  StopSignal signal(&token_, In(std::chrono::milliseconds(1)), watch_);
  signal.Set(&Counter::Call, &counter_);
  counter_.first.get_future().wait();
  EXPECT_EQ(signal.Reason(), PENSTOCK_DEADLINE_EXCEEDED);
  token_.Cancel();
  signal.Clear();
  EXPECT_EQ(counter_.calls, 1);
  EXPECT_EQ(signal.Reason(), PENSTOCK_CANCELLED);
}

TEST_F(StopSignalTest, NothingIsCalledAfterClear) {
  StopSignal signal(&token_, In(std::chrono::hours(1)), watch_);
  signal.Set(&Counter::Call, &counter_);
  signal.Clear();
  token_.Cancel();
  EXPECT_EQ(counter_.calls, 0);
}

TEST_F(StopSignalTest, ClearWithoutSet) {
  StopSignal signal(&token_, In(std::chrono::hours(1)), watch_);
  signal.Clear();
  token_.Cancel();
  EXPECT_EQ(counter_.calls, 0);
}

// The callback of a backend answers, and the answer ends the run and with it the signal.
TEST_F(StopSignalTest, TheCallbackMayEndTheSignal) {
  struct Run {
    std::optional<StopSignal> signal;
    std::promise<void> ended;
    static void End(void* self) {
      auto* run = static_cast<Run*>(self);
      run->signal->Clear();
      run->signal.reset();
      run->ended.set_value();
    }
  };
  Run by_cancel;
  by_cancel.signal.emplace(&token_, kNoDeadline, watch_);
  by_cancel.signal->Set(&Run::End, &by_cancel);
  token_.Cancel();
  by_cancel.ended.get_future().wait();
  Run by_deadline;
  by_deadline.signal.emplace(nullptr, In({}), watch_);
  by_deadline.signal->Set(&Run::End, &by_deadline);
  by_deadline.ended.get_future().wait();
  CancelToken cancelled;
  cancelled.Cancel();
  Run at_once;
  at_once.signal.emplace(&cancelled, kNoDeadline, watch_);
  at_once.signal->Set(&Run::End, &at_once);
  at_once.ended.get_future().wait();
}

TEST_F(StopSignalTest, CancelDeadlineAndClearAtTheSameTimeCallAtMostOnce) {
  for (int round = 0; round < 300; ++round) {
    CancelToken token;
    Counter counter;
    StopSignal signal(&token, In(std::chrono::microseconds(round % 40)), watch_);
    std::thread canceller([&] { token.Cancel(); });
    signal.Set(&Counter::Call, &counter);
    if (round % 2 == 0) counter.first.get_future().wait();
    signal.Clear();
    const int calls = counter.calls;
    canceller.join();
    EXPECT_EQ(counter.calls, calls);
    EXPECT_LE(calls, 1);
  }
}

}  // namespace
}  // namespace penstock
