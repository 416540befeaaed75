// SPDX-License-Identifier: Apache-2.0
#include "base/shared_page.h"

#include <gtest/gtest.h>

namespace penstock {
namespace {

TEST(SharedPageTest, ALargeTextIsSharedForTenTimesAsLongAsItTook) {
  FakeClock clock;
  clock.Advance(std::chrono::seconds(1));
  SharedPage page(clock);
  int made = 0;
  const auto make = [&] {
    ++made;
    clock.Advance(std::chrono::milliseconds(5));
    return std::string(SharedPage::kLargeBytes, 'x');
  };
  const Slice first = page.Get(make);
  clock.Advance(std::chrono::milliseconds(49));
  EXPECT_EQ(page.Get(make).data, first.data);
  clock.Advance(std::chrono::milliseconds(1));
  EXPECT_NE(page.Get(make).data, first.data);
  EXPECT_EQ(made, 2);
}

TEST(SharedPageTest, ASmallTextIsMadeAnew) {
  FakeClock clock;
  SharedPage page(clock);
  int made = 0;
  const auto make = [&] {
    clock.Advance(std::chrono::seconds(1));
    return std::to_string(++made);
  };
  EXPECT_EQ(page.Get(make).view(), "1");
  EXPECT_EQ(page.Get(make).view(), "2");
}

}  // namespace
}  // namespace penstock
