// SPDX-License-Identifier: Apache-2.0
#include "base/flow_control.h"

#include <gtest/gtest.h>

#include <future>
#include <thread>

namespace penstock {
namespace {

TEST(FlowControlTest, AReadyReceiverTakesNoCallback) {
  FlowControl flow;
  EXPECT_FALSE(flow.IsSlow());
  EXPECT_FALSE(flow.SetCallback([] { ADD_FAILURE(); }));
  flow.SetSlow();
  flow.SetReady();
  EXPECT_FALSE(flow.SetCallback([] { ADD_FAILURE(); }));
  flow.SetReady();
}

TEST(FlowControlTest, TheCallbackRunsOnceForEachRegistration) {
  FlowControl flow;
  int calls = 0;
  for (int round = 1; round <= 2; ++round) {
    flow.SetSlow();
    EXPECT_TRUE(flow.SetCallback([&] { ++calls; }));
    flow.SetReady();
    flow.SetReady();
    EXPECT_EQ(calls, round);
  }
}

TEST(FlowControlTest, TheCallbackMayWaitAgainAndClear) {
  FlowControl flow;
  int calls = 0;
  const auto second = [&] {
    ++calls;
    flow.ClearCallback();
  };
  flow.SetSlow();
  flow.SetCallback([&] {
    ++calls;
    flow.SetSlow();
    EXPECT_TRUE(flow.SetCallback(second));
  });
  flow.SetReady();
  EXPECT_TRUE(flow.IsSlow());
  EXPECT_EQ(calls, 1);
  flow.SetReady();
  flow.SetReady();
  EXPECT_EQ(calls, 2);
}

TEST(FlowControlTest, NothingIsCalledAfterClear) {
  FlowControl flow;
  flow.SetSlow();
  flow.SetCallback([] { ADD_FAILURE(); });
  flow.ClearCallback();
  flow.SetReady();
}

TEST(FlowControlTest, ClearWaitsForTheCallbackOfAnotherThread) {
  FlowControl flow;
  std::promise<void> started;
  bool has_ended = false;
  flow.SetSlow();
  flow.SetCallback([&] {
    started.set_value();
    has_ended = true;  // a race with the line below, unless ClearCallback waits
  });
  std::thread receiver([&] { flow.SetReady(); });
  started.get_future().wait();
  flow.ClearCallback();
  EXPECT_TRUE(has_ended);
  receiver.join();
}

// A receiver that becomes ready while the sender registers: no wake-up is lost.
TEST(FlowControlTest, NoWakeUpIsLost) {
  constexpr int kRounds = 20'000;
  FlowControl flow;
  std::atomic<bool> is_over{false};
  std::thread receiver([&] {
    while (!is_over) flow.SetReady();
  });
  for (int round = 0; round < kRounds; ++round) {
    flow.SetSlow();
    std::promise<void> woken;
    if (flow.SetCallback([&] { woken.set_value(); })) woken.get_future().wait();
    flow.ClearCallback();  // the promise is destroyed
  }
  is_over = true;
  receiver.join();
}

}  // namespace
}  // namespace penstock
