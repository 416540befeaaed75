// SPDX-License-Identifier: Apache-2.0
#include "base/os/give_way.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <time.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <thread>

namespace penstock {
namespace {

// Whether a signal ends a sleep of this length.
bool IsInterrupted(timespec sleep) { return nanosleep(&sleep, nullptr) != 0 && errno == EINTR; }

constexpr timespec kLong{.tv_sec = 60, .tv_nsec = 0};
constexpr timespec kShort{.tv_sec = 0, .tv_nsec = 3'000'000};  // several periods

TEST(GiveWay, InterruptsItsThreadAsLongAsItLives) {
  {
    const GiveWay to_others;
    for (int i = 0; i < 100; ++i) EXPECT_TRUE(IsInterrupted(kLong));
  }
  EXPECT_FALSE(IsInterrupted(kShort));
}

TEST(GiveWay, LeavesOtherThreadsAlone) {
  const GiveWay to_others;
  bool was_interrupted = true;
  std::thread other([&] { was_interrupted = IsInterrupted(kShort); });
  other.join();
  EXPECT_FALSE(was_interrupted);
}

TEST(GiveWay, AReadGoesOnAndErrnoStays) {
  std::array<int, 2> ends{};
  ASSERT_EQ(pipe(ends.data()), 0);
  const GiveWay to_others;
  std::thread writer([&] {
    nanosleep(&kShort, nullptr);
    EXPECT_EQ(write(ends[1], "x", 1), 1);
  });
  char byte = 0;
  errno = ENOTTY;
  EXPECT_EQ(read(ends[0], &byte, 1), 1);
  EXPECT_EQ(errno, ENOTTY);
  writer.join();
  close(ends[0]);
  close(ends[1]);
}

TEST(GiveWay, TheSignalUsesTheAlternateStack) {
  const GiveWay to_others;
  struct sigaction action = {};
  ASSERT_EQ(sigaction(SIGURG, nullptr, &action), 0);
  EXPECT_NE(action.sa_handler, SIG_DFL);
  EXPECT_NE(action.sa_flags & SA_ONSTACK, 0);
}

TEST(GiveWay, Nests) {
  const GiveWay outer;
  { const GiveWay inner; }
  EXPECT_TRUE(IsInterrupted(kLong));
}

}  // namespace
}  // namespace penstock
