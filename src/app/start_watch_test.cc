// SPDX-License-Identifier: Apache-2.0
#include "app/start_watch.h"

#include <gtest/gtest.h>
#include <pthread.h>
#include <sys/wait.h>
#include <unistd.h>

namespace penstock {
namespace {

sigset_t BlockStops() {
  sigset_t stops;
  sigemptyset(&stops);
  sigaddset(&stops, SIGTERM);
  pthread_sigmask(SIG_BLOCK, &stops, nullptr);
  return stops;
}

// In a process of its own, which a signal of this process may end.
TEST(StartWatchDeathTest, AStartThatHangsEndsSoonAfterASignal) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_EXIT(
      {
        StartWatch watch(BlockStops(), std::chrono::milliseconds(1));
        watch.Enter("reading --x");
        kill(getpid(), SIGTERM);
        for (;;) pause();
      },
      testing::ExitedWithCode(0),
      "the start did not end 1 ms later, and is given up while reading");
}

TEST(StartWatchDeathTest, AStartThatEndsLeavesTheSignalPending) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_EXIT(
      {
        const sigset_t stops = BlockStops();
        {
          const StartWatch watch(stops, std::chrono::hours(1));
          kill(getpid(), SIGTERM);
        }
        _exit(sigwaitinfo(&stops, nullptr) == SIGTERM ? 3 : 4);
      },
      testing::ExitedWithCode(3), "");
}

}  // namespace
}  // namespace penstock
