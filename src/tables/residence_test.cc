// SPDX-License-Identifier: Apache-2.0
#include "tables/residence.h"

#include <gtest/gtest.h>

namespace penstock::tables {
namespace {

// The batches without a wait until it is warm.
int BatchesUntilWarm(Residence& residence) {
  int batches = 0;
  for (; residence.IsCold(); ++batches) residence.Note(/*waited=*/false);
  return batches;
}

TEST(ResidenceTest, StartsColdAndGetsWarm) {
  Residence residence;
  EXPECT_TRUE(residence.IsCold());
  EXPECT_EQ(BatchesUntilWarm(residence), 32);
  residence.Note(/*waited=*/false);
  EXPECT_FALSE(residence.IsCold());
}

TEST(ResidenceTest, OnlyAWarmTableRunsInline) {
  Residence residence;
  residence.SetInlineKeysMax(7);
  EXPECT_EQ(residence.inline_keys_max(), 0);
  BatchesUntilWarm(residence);
  EXPECT_EQ(residence.inline_keys_max(), 7);
  residence.Note(/*waited=*/true);
  EXPECT_EQ(residence.inline_keys_max(), 0);
  BatchesUntilWarm(residence);
  EXPECT_EQ(residence.inline_keys_max(), 7);
}

TEST(ResidenceTest, LongRowsAndManyKeysHoldNoLoop) {
  EXPECT_EQ(Residence::InlineKeysMax(8), 1024);
  EXPECT_EQ(Residence::InlineKeysMax(256), 1024);
  EXPECT_EQ(Residence::InlineKeysMax(1024), 256);
  EXPECT_EQ(Residence::InlineKeysMax(1 << 20), 0);
}

TEST(ResidenceTest, AWaitBeginsTheCountAgain) {
  Residence residence;
  for (int i = 0; i < 31; ++i) residence.Note(/*waited=*/false);
  residence.Note(/*waited=*/true);
  EXPECT_EQ(BatchesUntilWarm(residence), 32);
}

TEST(ResidenceTest, ATableThatIsSentBackMustProveItselfForLonger) {
  Residence residence;
  BatchesUntilWarm(residence);
  residence.Note(/*waited=*/true);
  EXPECT_TRUE(residence.IsCold());
  EXPECT_EQ(BatchesUntilWarm(residence), 64);
  for (int i = 0; i < 20; ++i) {
    residence.Note(/*waited=*/true);
    BatchesUntilWarm(residence);
  }
  residence.Note(/*waited=*/true);
  EXPECT_EQ(BatchesUntilWarm(residence), 1024);
}

}  // namespace
}  // namespace penstock::tables
