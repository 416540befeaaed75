// SPDX-License-Identifier: Apache-2.0
#include "sources/objectstore/scan_turns.h"

#include <gtest/gtest.h>

namespace penstock {
namespace {

using std::chrono::seconds;

// Buckets by a clock that the test sets. One thread.
class ScanTurnsTest : public ::testing::Test {
 protected:
  std::shared_ptr<ScanTurn> Begin(const std::string& bucket) {
    EXPECT_TRUE(turns_.MayBegin(bucket)) << bucket;
    return turns_.Begin(bucket, now_);
  }
  void Advance(int by) {
    now_ += seconds(by);
    turns_.Check(now_);
  }
  std::string Finish(const std::string& bucket) {
    return std::string(MessageOf(turns_.Finish(bucket, now_).why));
  }

  SteadyTime now_ = SteadyTime(seconds(1000));
  ScanTurns turns_{{}};
};

TEST_F(ScanTurnsTest, SomeBucketsAtATimeAndEachOnce) {
  Begin("a");
  EXPECT_FALSE(turns_.MayBegin("a"));
  for (const char* bucket : {"b", "c", "d"}) Begin(bucket);
  EXPECT_FALSE(turns_.MayBegin("e"));
  EXPECT_EQ(Finish("b"), "");
  EXPECT_TRUE(turns_.MayBegin("b") && turns_.MayBegin("e"));
}

TEST_F(ScanTurnsTest, SilentBucketsKeepHalfOfTheTurns) {
  std::map<std::string, std::shared_ptr<ScanTurn>> scans;
  for (const char* bucket : {"a", "b", "c", "d"}) scans[bucket] = Begin(bucket);
  EXPECT_EQ(turns_.NextCheck(), now_ + seconds(5));
  Advance(4);
  for (const auto& [bucket, scan] : scans) EXPECT_FALSE(scan->is_cancelled);
  Advance(1);
  EXPECT_FALSE(scans["a"]->is_cancelled || scans["b"]->is_cancelled);
  EXPECT_TRUE(scans["c"]->is_cancelled && scans["d"]->is_cancelled);
  EXPECT_EQ(turns_.NextCheck(), now_ + seconds(115));
  const ScanTurns::End end = turns_.Finish("c", now_);
  EXPECT_TRUE(end.is_due_again);
  EXPECT_EQ(end.why, absl::DeadlineExceededError("bucket 'c' has not answered for 5 s, and now "
                                                 "waits for others that are slow, too"));
  Finish("d");
  EXPECT_FALSE(turns_.MayBegin("c") || turns_.MayBegin("d"));
  EXPECT_TRUE(turns_.MayBegin("good"));
  EXPECT_EQ(Finish("a"), "");
  EXPECT_TRUE(turns_.MayBegin("c"));
  Begin("c");
  EXPECT_FALSE(turns_.MayBegin("d"));
  EXPECT_FALSE(turns_.MayBegin("a"));
}

TEST_F(ScanTurnsTest, BucketWhosePagesComeIsNotSlow) {
  const auto scan = Begin("a");
  for (int i = 0; i < 20; ++i) {
    Advance(4);
    scan->heard = now_;
  }
  EXPECT_EQ(turns_.NextCheck(), now_ + seconds(5));
  EXPECT_EQ(Finish("a"), "");
  for (const char* bucket : {"x", "y"}) Begin(bucket);
  Advance(5);
  EXPECT_TRUE(turns_.MayBegin("a"));
}

TEST_F(ScanTurnsTest, BucketThatIsQuickAgainIsNotSlowAnyMore) {
  Begin("a");
  Advance(6);
  Finish("a");
  Begin("a");
  for (const char* bucket : {"b", "c"}) Begin(bucket);
  Advance(1);
  EXPECT_EQ(Finish("a"), "");
  Advance(5);  // b and c take the turns of slow ones
  EXPECT_TRUE(turns_.MayBegin("a"));
}

TEST_F(ScanTurnsTest, ScansHaveALimit) {
  const auto scan = Begin("a");
  scan->heard = now_ + seconds(119);
  Advance(119);
  EXPECT_FALSE(scan->is_cancelled);
  Advance(1);
  EXPECT_TRUE(scan->is_cancelled);
  EXPECT_EQ(turns_.NextCheck(), kNoDeadline);
  const ScanTurns::End end = turns_.Finish("a", now_);
  EXPECT_FALSE(end.is_due_again);
  EXPECT_EQ(end.why,
            absl::DeadlineExceededError("bucket 'a' could not be listed in 120 s, which is "
                                        "--object_store_list_timeout_seconds"));
}

TEST_F(ScanTurnsTest, AllCanBeCancelledAndForgotten) {
  const auto scan = Begin("a");
  turns_.CancelAll();
  EXPECT_TRUE(scan->is_cancelled);
  Advance(200);
  EXPECT_EQ(Finish("a"), "");
  for (const char* bucket : {"b", "c"}) Begin(bucket);
  Advance(5);
  EXPECT_FALSE(turns_.MayBegin("a"));
  turns_.KeepOnly({"b"});
  EXPECT_TRUE(turns_.MayBegin("a"));
}

}  // namespace
}  // namespace penstock
