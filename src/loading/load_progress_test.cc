// SPDX-License-Identifier: Apache-2.0
#include "loading/load_progress.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace penstock {
namespace {

using testing::HasSubstr;
using State = LoadProgress::State;

// What a terminal shows is tested in tests/e2e/test_terminal.py.
class LoadProgressTest : public testing::Test {
 protected:
  std::string Note(const std::string& model, State state) {
    testing::internal::CaptureStderr();
    progress_.Note(model, state);
    return testing::internal::GetCapturedStderr();
  }
  void Expect(std::initializer_list<const char*> models) {
    for (const char* model : models) EXPECT_EQ(Note(model, State::kExpected), "");
  }

  FakeClock clock_;
  LoadProgress progress_{clock_};
};

TEST_F(LoadProgressTest, OneLineASecondAndOneAtTheEnd) {
  Expect({"a", "b", "c", "d"});
  EXPECT_EQ(Note("a", State::kLoading), "");
  EXPECT_EQ(Note("a", State::kReady), "");
  clock_.Advance(std::chrono::seconds(1));
  EXPECT_THAT(Note("b", State::kFailed),
              HasSubstr("initial load [#####---------------] 1 of 4 models are ready, 1 failed"));
  EXPECT_EQ(Note("c", State::kReady), "");
  EXPECT_EQ(Note("b", State::kLoading), "");  // tried again
  EXPECT_EQ(Note("b", State::kReady), "");
  EXPECT_EQ(Note("c", State::kFailed), "");  // another version, beside the one that is there
  EXPECT_THAT(Note("d", State::kReady),
              HasSubstr("[####################] 4 of 4 models are ready\n"));
  clock_.Advance(std::chrono::seconds(1));
  Expect({"e"});
  EXPECT_EQ(Note("e", State::kReady), "");  // that was the initial load
}

TEST_F(LoadProgressTest, OneModelNeedsNoBar) {
  Expect({"a"});
  EXPECT_EQ(Note("a", State::kReady), "");
}

TEST_F(LoadProgressTest, ModelsOnDemandDoNotCount) {
  Expect({"a", "b", "c"});
  EXPECT_EQ(Note("on demand", State::kReady), "");
  EXPECT_EQ(Note("a", State::kReady), "");
  progress_.Forget("c");
  EXPECT_THAT(Note("b", State::kFailed), HasSubstr("] 1 of 2 models are ready, 1 failed\n"));
}

TEST_F(LoadProgressTest, ARetryDoesNotProlongIt) {
  Expect({"a", "b"});
  EXPECT_EQ(Note("a", State::kFailed), "");
  EXPECT_EQ(Note("a", State::kLoading), "");
  EXPECT_THAT(Note("b", State::kReady), HasSubstr("] 1 of 2 models are ready, 1 failed\n"));
}

TEST_F(LoadProgressTest, AModelThatIsServedAfterAFailureIsCounted) {
  Expect({"a", "b"});
  EXPECT_EQ(Note("a", State::kReady), "");
  EXPECT_THAT(Note("b", State::kFailed), HasSubstr("] 1 of 2 models are ready, 1 failed\n"));
  EXPECT_EQ(Note("b", State::kLoading), "");  // a lower version
  EXPECT_THAT(Note("b", State::kReady), HasSubstr("] 2 of 2 models are ready\n"));
  EXPECT_EQ(Note("b", State::kFailed), "");
  EXPECT_EQ(Note("b", State::kReady), "");
}

TEST_F(LoadProgressTest, NothingAfterTheEnd) {
  Expect({"a", "b"});
  progress_.End();
  EXPECT_EQ(Note("a", State::kReady), "");
  EXPECT_EQ(Note("b", State::kReady), "");
}

}  // namespace
}  // namespace penstock
