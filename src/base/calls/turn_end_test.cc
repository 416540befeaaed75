// SPDX-License-Identifier: Apache-2.0
#include "base/calls/turn_end.h"

#include <gtest/gtest.h>

#include <thread>

namespace penstock {
namespace {

class CountedTask final : public TurnEnd::Task {
 public:
  explicit CountedTask(TurnEnd& turn, CountedTask* next = nullptr) : turn_(turn), next_(next) {}
  void OnTurnEnd() override {
    ++runs;
    if (next_ != nullptr) turn_.Add(*next_);
  }
  int runs = 0;

 private:
  TurnEnd& turn_;
  CountedTask* const next_;
};

TEST(TurnEndTest, EachTaskRunsOnceAndMayAddAnother) {
  TurnEnd turn;
  CountedTask second(turn), first(turn, &second);
  turn.Add(first);
  EXPECT_EQ(first.runs, 0);
  turn.Run();
  EXPECT_EQ(first.runs, 1);
  EXPECT_EQ(second.runs, 1);
  turn.Run();
  EXPECT_EQ(first.runs, 1);
}

TEST(TurnEndTest, OnlyTheThreadOfAnEventLoopHasOne) {
  TurnEnd turn;
  TurnEnd* const before = TurnEnd::SetCurrent(&turn);
  EXPECT_EQ(TurnEnd::Current(), &turn);
  std::thread([] { EXPECT_EQ(TurnEnd::Current(), nullptr); }).join();
  TurnEnd::SetCurrent(before);
  EXPECT_EQ(TurnEnd::Current(), before);
}

}  // namespace
}  // namespace penstock
