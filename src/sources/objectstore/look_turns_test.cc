// SPDX-License-Identifier: Apache-2.0
#include "sources/objectstore/look_turns.h"

#include <gtest/gtest.h>

namespace penstock {
namespace {

using std::chrono::seconds;

// Buckets by a clock that the test sets. One thread.
class LookTurnsTest : public ::testing::Test {
 protected:
  std::shared_ptr<LookTurn> Begin(const std::string& bucket) {
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
  LookTurns turns_{{}};
};

TEST_F(LookTurnsTest, SomeBucketsAtATimeAndEachOnce) {
  Begin("a");
  EXPECT_FALSE(turns_.MayBegin("a"));
  for (const char* bucket : {"b", "c", "d"}) Begin(bucket);
  EXPECT_FALSE(turns_.MayBegin("e"));
  EXPECT_EQ(Finish("b"), "");
  EXPECT_TRUE(turns_.MayBegin("b") && turns_.MayBegin("e"));
}

TEST_F(LookTurnsTest, SilentBucketsKeepHalfOfTheTurns) {
  std::map<std::string, std::shared_ptr<LookTurn>> looks;
  for (const char* bucket : {"a", "b", "c", "d"}) looks[bucket] = Begin(bucket);
  EXPECT_EQ(turns_.NextCheck(), now_ + seconds(5));
  Advance(4);
  for (const auto& [bucket, look] : looks) EXPECT_FALSE(look->is_cancelled);
  Advance(1);
  EXPECT_FALSE(looks["a"]->is_cancelled || looks["b"]->is_cancelled);
  EXPECT_TRUE(looks["c"]->is_cancelled && looks["d"]->is_cancelled);
  EXPECT_EQ(turns_.NextCheck(), now_ + seconds(115));
  const LookTurns::End end = turns_.Finish("c", now_);
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

TEST_F(LookTurnsTest, BucketWhosePagesComeIsNotSlow) {
  const auto look = Begin("a");
  for (int i = 0; i < 20; ++i) {
    Advance(4);
    look->heard = now_;
  }
  EXPECT_EQ(turns_.NextCheck(), now_ + seconds(5));
  EXPECT_EQ(Finish("a"), "");
  for (const char* bucket : {"x", "y"}) Begin(bucket);
  Advance(5);
  EXPECT_TRUE(turns_.MayBegin("a"));
}

TEST_F(LookTurnsTest, BucketThatIsQuickAgainIsNotSlowAnyMore) {
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

TEST_F(LookTurnsTest, LooksHaveALimit) {
  const auto look = Begin("a");
  look->heard = now_ + seconds(119);
  Advance(119);
  EXPECT_FALSE(look->is_cancelled);
  Advance(1);
  EXPECT_TRUE(look->is_cancelled);
  EXPECT_EQ(turns_.NextCheck(), kNoDeadline);
  const LookTurns::End end = turns_.Finish("a", now_);
  EXPECT_FALSE(end.is_due_again);
  EXPECT_EQ(end.why,
            absl::DeadlineExceededError("bucket 'a' could not be listed in 120 s, which is "
                                        "--object_store_list_timeout_seconds"));
}

TEST_F(LookTurnsTest, AllCanBeCancelledAndForgotten) {
  const auto look = Begin("a");
  turns_.CancelAll();
  EXPECT_TRUE(look->is_cancelled);
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
