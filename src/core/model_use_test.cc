// SPDX-License-Identifier: Apache-2.0
#include "core/model_use.h"

#include <gtest/gtest.h>

namespace penstock::core {
namespace {

using std::chrono::seconds;

TEST(ModelUseTest, PollFindsUses) {
  struct Case {
    uint64_t uses;
    bool is_in_use;
    Duration idle;    // at the poll
    uint64_t recent;  // uses since the last poll
  };
  const Case cases[] = {
      {0, false, seconds(1), 0},  // since NoteReady
      {3, false, seconds(0), 3}, {3, false, seconds(1), 0},
      {3, true, seconds(0), 0},                              // a handle exists
      {3, false, seconds(1), 0}, {2, false, seconds(0), 2},  // another version is loaded now
  };
  ModelUse use;
  SteadyTime now(seconds(100));
  use.NoteReady(now);
  for (const Case& expected : cases) {
    now += seconds(1);
    use.Poll(expected.uses, expected.is_in_use, now);
    EXPECT_EQ(use.IdleTime(now), expected.idle);
    EXPECT_EQ(use.EvictionRank().second, expected.recent);
  }
}

}  // namespace
}  // namespace penstock::core
