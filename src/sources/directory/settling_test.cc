// SPDX-License-Identifier: Apache-2.0
#include "sources/directory/settling.h"

#include <gtest/gtest.h>

namespace penstock {
namespace {

using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;

// A version whose settle time is a second, scanned by a clock that the test sets. One thread.
class SettlingTest : public ::testing::Test {
 protected:
  // What a scan finds `age` after the last change of a file.
  FilesSeen Seen(uint64_t hash, Duration age) {
    FilesSeen seen;
    seen.now = now_;
    seen.wall_now = std::chrono::system_clock::time_point(std::chrono::hours(1000));
    seen.stamp = {hash, seen.wall_now - age, {}};
    seen.stamp.content.Add("model", 1);
    return seen;
  }

  SteadyTime now_{std::chrono::hours(1)};
  Settling settling_{SettlingOptions()};
};

TEST_F(SettlingTest, WhatIsOldIsCompleteAtOnce) {
  settling_.Scan(Seen(1, seconds(1)));
  EXPECT_EQ(settling_.complete(), 1);
  EXPECT_FALSE(settling_.next_scan());
}

TEST_F(SettlingTest, WhatChangesWaitsUntilItIsQuiet) {
  settling_.Scan(Seen(1, milliseconds(300)));
  EXPECT_FALSE(settling_.complete());
  EXPECT_EQ(settling_.next_scan(), now_ + milliseconds(700));
  now_ += milliseconds(700);
  settling_.Scan(Seen(2, milliseconds(10)));
  EXPECT_FALSE(settling_.complete());
  EXPECT_EQ(settling_.next_scan(), now_ + milliseconds(990));
  now_ += milliseconds(990);
  settling_.Scan(Seen(2, seconds(1)));
  EXPECT_EQ(settling_.complete(), 2);
}

TEST_F(SettlingTest, TimesInTheFutureAreNotTrusted) {
  settling_.Scan(Seen(1, -std::chrono::hours(5)));
  EXPECT_EQ(settling_.next_scan(), now_ + seconds(1));
  now_ += seconds(1);
  settling_.Scan(Seen(1, -std::chrono::hours(5)));
  EXPECT_EQ(settling_.complete(), 1);
}

TEST_F(SettlingTest, TimesOnTheNetworkMustBeLongAgo) {
  const auto seen = [this](Duration age) {
    FilesSeen network = Seen(1, age);
    network.is_on_network = true;
    return network;
  };
  settling_.Scan(seen(seconds(30)));
  EXPECT_FALSE(settling_.complete());
  now_ += seconds(1);
  settling_.Scan(seen(seconds(31)));
  EXPECT_TRUE(settling_.complete());
  Settling other{SettlingOptions()};
  other.Scan(seen(seconds(61)));
  EXPECT_TRUE(other.complete());
}

TEST_F(SettlingTest, RenamedFolderIsComplete) {
  FilesSeen seen = Seen(1, Duration::zero());
  seen.was_renamed = true;
  settling_.Scan(seen);
  EXPECT_EQ(settling_.complete(), 1);
  // It stays so, although its files are young.
  settling_.Scan(Seen(1, milliseconds(1)));
  EXPECT_FALSE(settling_.next_scan());
}

TEST_F(SettlingTest, LaterChangesKeepTheLastCompleteState) {
  settling_.Scan(Seen(1, minutes(1)));
  settling_.Scan(Seen(2, milliseconds(1)));
  EXPECT_EQ(settling_.complete(), 1);
  EXPECT_EQ(settling_.next_scan(), now_ + milliseconds(999));
  now_ += seconds(1);
  settling_.Scan(Seen(2, seconds(1)));
  EXPECT_EQ(settling_.complete(), 2);
}

TEST_F(SettlingTest, AWriterIsWaitedForButNotForEver) {
  const auto seen = [this](Duration age) {
    FilesSeen open = Seen(1, age);
    open.has_writer = true;
    return open;
  };
  settling_.Scan(seen(milliseconds(1)));
  EXPECT_FALSE(settling_.waits_for_writer());
  now_ += seconds(5);
  settling_.Scan(seen(seconds(5)));
  EXPECT_FALSE(settling_.complete());
  EXPECT_TRUE(settling_.waits_for_writer());
  EXPECT_EQ(settling_.next_scan(), now_ + seconds(55));
  now_ += seconds(55);
  settling_.Scan(seen(minutes(1)));
  EXPECT_TRUE(settling_.complete());
  EXPECT_FALSE(settling_.waits_for_writer());
}

TEST_F(SettlingTest, WithoutSettleTimeAllIsComplete) {
  SettlingOptions options;
  options.settle_time = Duration::zero();
  Settling settling(options);
  FilesSeen seen = Seen(1, Duration::zero());
  seen.has_writer = true;
  settling.Scan(seen);
  EXPECT_TRUE(settling.complete());
}

}  // namespace
}  // namespace penstock
