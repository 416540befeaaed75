// SPDX-License-Identifier: Apache-2.0
#include "net/loop/retired.h"

#include <gtest/gtest.h>

namespace penstock::net {
namespace {

// Its destruction takes some time of the clock. One thread.
class Slow final {
 public:
  Slow(FakeClock& clock, Duration time) : clock_(clock), time_(time) {}
  ~Slow() { clock_.Advance(time_); }

 private:
  FakeClock& clock_;
  const Duration time_;
};

class RetiredTest : public testing::Test {
 protected:
  void Add(int count, Duration time) {
    for (int i = 0; i < count; ++i) retired_.Add(std::make_unique<Slow>(clock_, time));
  }
  // Runs the next task. Returns the time that it took.
  Duration RunTurn() {
    const SteadyTime start = clock_.Now();
    EXPECT_EQ(tasks_.size(), 1U);
    const auto task = std::move(tasks_.front());
    tasks_.pop_front();
    task();
    return clock_.Now() - start;
  }

  FakeClock clock_;
  std::deque<std::function<void()>> tasks_;
  Retired<Slow> retired_{clock_,
                         [this](std::function<void()> task) { tasks_.push_back(std::move(task)); }};
};

TEST_F(RetiredTest, ManyObjectsAreDestroyedInTurns) {
  Add(10, kTurnTimeMax * 2 / 5);
  EXPECT_EQ(RunTurn(), kTurnTimeMax * 6 / 5);
  Add(1, kTurnTimeMax * 2 / 5);  // waits for its turn as the others do
  EXPECT_EQ(RunTurn(), kTurnTimeMax * 6 / 5);
  EXPECT_EQ(RunTurn(), kTurnTimeMax * 6 / 5);
  EXPECT_EQ(RunTurn(), kTurnTimeMax * 4 / 5);
  EXPECT_TRUE(retired_.empty());
  EXPECT_TRUE(tasks_.empty());
}

TEST_F(RetiredTest, AnObjectThatTakesLongIsATurnOfItsOwn) {
  Add(2, kTurnTimeMax * 3);
  EXPECT_EQ(RunTurn(), kTurnTimeMax * 3);
  EXPECT_EQ(RunTurn(), kTurnTimeMax * 3);
  EXPECT_TRUE(tasks_.empty());
}

TEST_F(RetiredTest, TheEndDestroysAllAtOnce) {
  Add(3, kTurnTimeMax);
  const SteadyTime start = clock_.Now();
  retired_.DestroyAll();
  EXPECT_EQ(clock_.Now() - start, kTurnTimeMax * 3);
}

}  // namespace
}  // namespace penstock::net
