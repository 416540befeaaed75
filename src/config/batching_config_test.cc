// SPDX-License-Identifier: Apache-2.0
#include "config/batching_config.h"

#include <gtest/gtest.h>

#include "penstock/model_options.pb.h"

namespace penstock {
namespace {

using batch::BatchMode;

TEST(BatchingConfigTest, WhatIsNotSetIsTheDefault) {
  const StatusOr<BatchingConfig> config = ReadBatching({});
  ASSERT_TRUE(config.ok());
  const batch::BatchSettings settings =
      SettingsOf(*config, {.mode = BatchMode::kChecked, .rows_max = 7});
  EXPECT_EQ(settings.mode, BatchMode::kChecked);
  EXPECT_EQ(settings.rows_max, 7);
}

TEST(BatchingConfigTest, ModelOverridesTheServer) {
  config::ModelOptions options;
  options.mutable_batching()->set_enabled(true);
  options.mutable_batching()->set_max_batch_size(32);
  EXPECT_EQ(SettingsOf(*ReadBatching(options), {}).mode, BatchMode::kForced);
  EXPECT_EQ(SettingsOf(*ReadBatching(options), {}).rows_max, 32);
  options.mutable_batching()->set_enabled(false);
  EXPECT_EQ(SettingsOf(*ReadBatching(options), {.mode = BatchMode::kChecked}).mode,
            BatchMode::kOff);
}

TEST(BatchingConfigTest, ImpossibleSizesAreRefused) {
  config::ModelOptions options;
  for (const int64_t size : {int64_t{0}, int64_t{-1}, batch::kBatchRowsLimit + 1}) {
    options.mutable_batching()->set_max_batch_size(size);
    EXPECT_EQ(ReadBatching(options).status().message(), "has a batching with a max_batch_size of " +
                                                            std::to_string(size) +
                                                            "; it must be 1 to 1000000");
  }
}

}  // namespace
}  // namespace penstock
