// SPDX-License-Identifier: Apache-2.0
#include "app/load_progress.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace penstock {
namespace {

using testing::HasSubstr;

class LoadProgressTest : public testing::Test {
 protected:
  std::string Note(const std::string& model, bool is_ready, size_t models) {
    testing::internal::CaptureStderr();
    progress_.Note(model, is_ready, models);
    return testing::internal::GetCapturedStderr();
  }

  FakeClock clock_;
  LoadProgress progress_{clock_};
};

TEST_F(LoadProgressTest, OneLineASecondAndOneAtTheEnd) {
  EXPECT_EQ(Note("a", true, 4), "");
  clock_.Advance(std::chrono::seconds(1));
  EXPECT_THAT(Note("b", false, 4),
              HasSubstr("initial load [#####---------------] 1 of 4 models are ready, 1 failed"));
  EXPECT_EQ(Note("c", true, 4), "");
  EXPECT_EQ(Note("b", true, 4), "");  // tried again
  EXPECT_THAT(Note("d", true, 4), HasSubstr("[####################] 4 of 4 models are ready\n"));
  clock_.Advance(std::chrono::seconds(1));
  EXPECT_EQ(Note("e", true, 5), "");  // that was the initial load
}

TEST_F(LoadProgressTest, OneModelNeedsNoBar) { EXPECT_EQ(Note("a", true, 1), ""); }

}  // namespace
}  // namespace penstock
