// SPDX-License-Identifier: Apache-2.0
#include "net/loop/idle_memory.h"

#include <gtest/gtest.h>

namespace penstock::net {
namespace {

TEST(IdleMemoryTest, IsGivenBackOnceAfterAPeakWhenAllIsQuiet) {
  IdleMemory memory;
  EXPECT_FALSE(memory.TrimIfQuiet());
  memory.NoteFreed(100 << 20);
  memory.NoteBusy(true);
  EXPECT_FALSE(memory.TrimIfQuiet());
  memory.NoteBusy(false);
  EXPECT_TRUE(memory.TrimIfQuiet());
  EXPECT_FALSE(memory.TrimIfQuiet());
  memory.NoteFreed(1000);
  EXPECT_FALSE(memory.TrimIfQuiet());
}

}  // namespace
}  // namespace penstock::net
