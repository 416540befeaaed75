// SPDX-License-Identifier: Apache-2.0
#include "backends/host/run_signals.h"

#include <gtest/gtest.h>

#include <atomic>
#include <future>
#include <optional>
#include <thread>

#include "penstock/backend.h"

namespace penstock {
namespace {

// Counts the calls of one callback.
struct Counter {
  std::atomic<int> calls{0};
  std::promise<void> first;
  static void Call(void* self) {
    auto* counter = static_cast<Counter*>(self);
    if (++counter->calls == 1) counter->first.set_value();
  }
};

class RunSignalsTest : public testing::Test {
 protected:
  static SteadyTime In(Duration time) { return Clock::Real().Now() + time; }

  DeadlineWatch watch_;
  CancelToken token_;
  FlowControl flow_;
  Counter counter_;
};

TEST_F(RunSignalsTest, NothingStopsARunWithoutTokenAndDeadline) {
  RunSignals signals(nullptr, kNoDeadline, nullptr, watch_);
  EXPECT_EQ(signals.StopReason(), PENSTOCK_OK);
  signals.OnStop(&Counter::Call, &counter_);
  signals.Clear();
  EXPECT_EQ(counter_.calls, 0);
}

TEST_F(RunSignalsTest, ACancelByTheDeadlineIsADeadline) {
  RunSignals signals(&token_, kNoDeadline, nullptr, watch_);
  token_.Cancel(CancelReason::kDeadline);
  EXPECT_EQ(signals.StopReason(), PENSTOCK_DEADLINE_EXCEEDED);
}

TEST_F(RunSignalsTest, ACancelCallsOnce) {
  RunSignals signals(&token_, kNoDeadline, nullptr, watch_);
  signals.OnStop(&Counter::Call, &counter_);
  EXPECT_EQ(signals.StopReason(), PENSTOCK_OK);
  token_.Cancel();
  token_.Cancel();
  EXPECT_EQ(counter_.calls, 1);
  EXPECT_EQ(signals.StopReason(), PENSTOCK_CANCELLED);
  signals.Clear();
}

TEST_F(RunSignalsTest, ACancelBeforeTheCallbackIsSetCallsAtOnce) {
  token_.Cancel();
  RunSignals signals(&token_, kNoDeadline, nullptr, watch_);
  signals.OnStop(&Counter::Call, &counter_);
  EXPECT_EQ(counter_.calls, 1);
  signals.Clear();
}

TEST_F(RunSignalsTest, APassedDeadlineCalls) {
  RunSignals signals(&token_, In(std::chrono::milliseconds(1)), nullptr, watch_);
  signals.OnStop(&Counter::Call, &counter_);
  counter_.first.get_future().wait();
  EXPECT_EQ(signals.StopReason(), PENSTOCK_DEADLINE_EXCEEDED);
  token_.Cancel();
  signals.Clear();
  EXPECT_EQ(counter_.calls, 1);
  EXPECT_EQ(signals.StopReason(), PENSTOCK_CANCELLED);
}

TEST_F(RunSignalsTest, NothingIsCalledAfterClear) {
  RunSignals signals(&token_, In(std::chrono::hours(1)), nullptr, watch_);
  signals.OnStop(&Counter::Call, &counter_);
  signals.Clear();
  token_.Cancel();
  EXPECT_EQ(counter_.calls, 0);
}

TEST_F(RunSignalsTest, ClearWithoutSet) {
  RunSignals signals(&token_, In(std::chrono::hours(1)), nullptr, watch_);
  signals.Clear();
  token_.Cancel();
  EXPECT_EQ(counter_.calls, 0);
}

// The callback of a backend answers, and the answer ends the run and with it the signals.
TEST_F(RunSignalsTest, TheCallbackMayEndTheRun) {
  struct Run {
    std::optional<RunSignals> signals;
    std::promise<void> ended;
    static void End(void* self) {
      auto* run = static_cast<Run*>(self);
      run->signals->Clear();
      run->signals.reset();
      run->ended.set_value();
    }
  };
  Run by_cancel;
  by_cancel.signals.emplace(&token_, kNoDeadline, nullptr, watch_);
  by_cancel.signals->OnStop(&Run::End, &by_cancel);
  token_.Cancel();
  by_cancel.ended.get_future().wait();
  Run by_deadline;
  by_deadline.signals.emplace(nullptr, In({}), nullptr, watch_);
  by_deadline.signals->OnStop(&Run::End, &by_deadline);
  by_deadline.ended.get_future().wait();
  CancelToken cancelled;
  cancelled.Cancel();
  Run at_once;
  at_once.signals.emplace(&cancelled, kNoDeadline, nullptr, watch_);
  at_once.signals->OnStop(&Run::End, &at_once);
  at_once.ended.get_future().wait();
}

TEST_F(RunSignalsTest, CancelDeadlineAndClearAtTheSameTimeCallAtMostOnce) {
  for (int round = 0; round < 300; ++round) {
    CancelToken token;
    Counter counter;
    RunSignals signals(&token, In(std::chrono::microseconds(round % 40)), nullptr, watch_);
    std::thread canceller([&] { token.Cancel(); });
    signals.OnStop(&Counter::Call, &counter);
    if (round % 2 == 0) counter.first.get_future().wait();
    signals.Clear();
    const int calls = counter.calls;
    canceller.join();
    EXPECT_EQ(counter.calls, calls);
    EXPECT_LE(calls, 1);
  }
}

// --- The receiver

TEST_F(RunSignalsTest, AReadyReceiverIsNotWaitedFor) {
  for (FlowControl* flow : {static_cast<FlowControl*>(nullptr), &flow_}) {
    RunSignals signals(&token_, kNoDeadline, flow, watch_);
    EXPECT_FALSE(signals.IsSlow());
    EXPECT_FALSE(signals.OnReady(&Counter::Call, &counter_));
    signals.Clear();
  }
  token_.Cancel();
  flow_.SetReady();
  EXPECT_EQ(counter_.calls, 0);
}

TEST_F(RunSignalsTest, ASlowReceiverCallsOnceWhenItIsReady) {
  RunSignals signals(&token_, In(std::chrono::hours(1)), &flow_, watch_);
  for (int round = 1; round <= 2; ++round) {
    flow_.SetSlow();
    EXPECT_TRUE(signals.IsSlow());
    EXPECT_TRUE(signals.OnReady(&Counter::Call, &counter_));
    EXPECT_EQ(counter_.calls, round - 1);
    flow_.SetReady();
    flow_.SetReady();
    EXPECT_EQ(counter_.calls, round);
  }
  token_.Cancel();
  EXPECT_EQ(counter_.calls, 2);
  signals.Clear();
}

TEST_F(RunSignalsTest, AStopCallsTheWaitingRunOnceToo) {
  Counter stop;
  {
    RunSignals signals(&token_, kNoDeadline, &flow_, watch_);
    flow_.SetSlow();
    EXPECT_TRUE(signals.OnReady(&Counter::Call, &counter_));
    signals.OnStop(&Counter::Call, &stop);
    token_.Cancel();
    flow_.SetReady();
    EXPECT_EQ(counter_.calls, 1);
    EXPECT_EQ(stop.calls, 1);
    flow_.SetSlow();
    EXPECT_FALSE(signals.OnReady(&Counter::Call, &counter_));  // it goes on, and sees the stop
    signals.Clear();
  }
  RunSignals by_deadline(nullptr, In(std::chrono::milliseconds(1)), &flow_, watch_);
  Counter ready;
  flow_.SetSlow();
  if (by_deadline.OnReady(&Counter::Call, &ready)) ready.first.get_future().wait();
  by_deadline.Clear();
  EXPECT_EQ(counter_.calls, 1);
}

TEST_F(RunSignalsTest, AStoppedRunDoesNotWait) {
  token_.Cancel();
  flow_.SetSlow();
  RunSignals signals(&token_, kNoDeadline, &flow_, watch_);
  EXPECT_FALSE(signals.OnReady(&Counter::Call, &counter_));
  Counter stop;
  signals.OnStop(&Counter::Call, &stop);
  EXPECT_EQ(stop.calls, 1);
  signals.Clear();
  EXPECT_EQ(counter_.calls, 0);
}

TEST_F(RunSignalsTest, ARemovedCallbackIsNotCalled) {
  RunSignals signals(&token_, kNoDeadline, &flow_, watch_);
  Counter stop;
  flow_.SetSlow();
  signals.OnReady(&Counter::Call, &counter_);
  signals.OnStop(&Counter::Call, &stop);
  signals.RemoveOnReady();
  flow_.SetReady();
  signals.RemoveOnStop();
  token_.Cancel();
  signals.Clear();
  EXPECT_EQ(counter_.calls, 0);
  EXPECT_EQ(stop.calls, 0);
}

// Waits again and again in its own callback, and ends the run in the last one.
TEST_F(RunSignalsTest, ACallbackMayWaitAgainAndEndTheRun) {
  struct Sender {
    std::optional<RunSignals> signals;
    FlowControl* flow = nullptr;
    int left = 0;
    std::promise<void> ended;
    static void Go(void* self) {
      auto* sender = static_cast<Sender*>(self);
      while (sender->left-- > 0 && sender->signals->StopReason() == PENSTOCK_OK) {
        sender->flow->SetSlow();  // as the receiver of a part
        if (sender->signals->OnReady(&Go, sender)) return;
      }
      sender->signals->Clear();
      sender->signals.reset();
      sender->ended.set_value();
    }
  };
  for (const bool is_cancelled : {false, true}) {
    for (int round = 0; round < 50; ++round) {
      FlowControl flow;
      CancelToken token;
      Sender sender;
      sender.flow = &flow;
      sender.left = 100;
      sender.signals.emplace(&token, In(std::chrono::hours(1)), &flow, watch_);
      std::atomic<bool> has_ended{false};
      std::thread receiver([&] {
        while (!has_ended) flow.SetReady();
      });
      std::thread canceller([&] {
        if (is_cancelled) token.Cancel();
      });
      Sender::Go(&sender);
      sender.ended.get_future().wait();
      has_ended = true;
      receiver.join();
      canceller.join();
      EXPECT_TRUE(is_cancelled || sender.left < 0);
    }
  }
}

TEST_F(RunSignalsTest, ReadyStopAndClearAtTheSameTimeCallAtMostOnce) {
  for (int round = 0; round < 300; ++round) {
    CancelToken token;
    FlowControl flow;
    Counter counter;
    RunSignals signals(&token, In(std::chrono::microseconds(round % 40)), &flow, watch_);
    flow.SetSlow();
    std::thread canceller([&] { token.Cancel(); });
    std::thread receiver([&] { flow.SetReady(); });
    const bool is_waiting = signals.OnReady(&Counter::Call, &counter);
    if (is_waiting && round % 2 == 0) counter.first.get_future().wait();
    signals.Clear();
    const int calls = counter.calls;
    canceller.join();
    receiver.join();
    EXPECT_EQ(counter.calls, calls);
    EXPECT_LE(calls, is_waiting ? 1 : 0);
  }
}

}  // namespace
}  // namespace penstock
