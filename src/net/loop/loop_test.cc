// SPDX-License-Identifier: Apache-2.0
#include "net/loop/loop.h"

#include <gtest/gtest.h>

#include <thread>

#include "base/calls/held_wakes.h"
#include "net/loop/loop_fake.h"

namespace penstock::net {
namespace {

class LoopTest : public testing::Test {
 protected:
  void Post() {
    EXPECT_TRUE(fake_.loop().Post([this] { ++runs_; }));
  }

  Router router_;
  FakeLoop fake_{router_, FakeLoop::DefaultOptions()};
  int runs_ = 0;
};

TEST_F(LoopTest, TheFirstTaskOfABurstWakesTheThread) {
  Post();
  Post();
  EXPECT_EQ(fake_.wakes, 1);
  fake_.RunPosted();
  EXPECT_EQ(runs_, 2);
  Post();
  EXPECT_EQ(fake_.wakes, 2);
}

TEST_F(LoopTest, HeldWakesWakeTheThreadOnceAtTheirEnd) {
  {
    const HeldWakes held;
    Post();
    Post();
    EXPECT_EQ(fake_.wakes, 0);
  }
  EXPECT_EQ(fake_.wakes, 1);
  fake_.RunPosted();
  EXPECT_EQ(runs_, 2);
}

TEST_F(LoopTest, AThreadThatHoldsWakesDelaysNoOther) {
  {
    const HeldWakes held;
    Post();
    std::thread([this] { Post(); }).join();
    EXPECT_EQ(fake_.wakes, 1);
    Post();
  }
  EXPECT_EQ(fake_.wakes, 1);
}

TEST_F(LoopTest, HeldWakesDoNotWakeAThreadThatHasRunTheTasks) {
  {
    const HeldWakes held;
    Post();
    fake_.RunPosted();
  }
  EXPECT_EQ(runs_, 1);
  EXPECT_EQ(fake_.wakes, 0);
}

TEST_F(LoopTest, ALoopThatHasEndedTakesNoTask) {
  fake_.loop().Shutdown();
  EXPECT_FALSE(fake_.loop().Post([] {}));
  EXPECT_EQ(fake_.wakes, 0);
}

}  // namespace
}  // namespace penstock::net
