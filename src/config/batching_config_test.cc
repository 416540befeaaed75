// SPDX-License-Identifier: Apache-2.0
#include "config/batching_config.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

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

TEST(BatchingConfigTest, AllowedSizesAscendToTheLargest) {
  config::ModelOptions options;
  const auto read = [&](std::vector<int64_t> sizes) {
    options.mutable_batching()->mutable_allowed_batch_sizes()->Assign(sizes.begin(), sizes.end());
    return ReadBatching(options);
  };
  EXPECT_EQ(SettingsOf(*read({2, 8}), {}).rows_max, 8) << "the last one, if nothing else is set";
  EXPECT_EQ(SettingsOf(*read({2, 8}), {}).allowed_rows, (std::vector<int64_t>{2, 8}));
  EXPECT_EQ(read({8, 2}).status().message(),
            "has a batching with allowed_batch_sizes with 2 after 8; each must be larger than the "
            "one before it, and the first at least 1");
  EXPECT_FALSE(read({0, 8}).ok());
  EXPECT_FALSE(read({8, 8}).ok());
  options.mutable_batching()->set_max_batch_size(16);
  EXPECT_EQ(read({2, 8}).status().message(),
            "has a batching with allowed_batch_sizes that end with 8; the last one must be "
            "max_batch_size, 16");
}

TEST(BatchingConfigTest, CellsHaveStates) {
  config::ModelOptions options;
  EXPECT_FALSE(ReadBatching(options)->cell.has_value());
  config::Cell& cell = *options.mutable_batching()->mutable_cell();
  const auto error = [&] { return std::string(ReadBatching(options).status().message()); };
  EXPECT_EQ(error(),
            "has a batching with a cell without a state: name what a step gives to the next one");
  config::CellState& state = *cell.add_state();
  state.set_input("h");
  EXPECT_EQ(error(), "has a batching with a cell with a state without an output");
  state.set_output("h1");
  cell.add_input("x");
  cell.set_stop("done");
  cell.set_steps_max(5);
  const StatusOr<BatchingConfig> config = ReadBatching(options);
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(*config->cell, (cells::CellSettings{.signature = "",
                                                .inputs = {"x"},
                                                .states = {{"h", "h1"}},
                                                .stop = "done",
                                                .steps_max = 5}));
  cell.set_steps_max(0);
  EXPECT_EQ(error(), "has a batching with a cell with a steps_max of 0; it must be 1 to 1000000");
  cell.set_steps_max(1);
  options.mutable_batching()->set_max_batch_size(8);
  EXPECT_TRUE(ReadBatching(options).ok());
  options.mutable_batching()->set_enabled(true);
  EXPECT_EQ(error(),
            "has a batching with a cell and other settings; only max_batch_size goes with a cell");
}

TEST(BatchingConfigTest, ParametersOfTensorFlowServing) {
  const auto config = ParseBatchingParameters(
      "max_batch_size { value: 128 } batch_timeout_micros { value: 0 } "
      "max_enqueued_batches { value: 1000000 } num_batch_threads { value: 8 } "
      "thread_pool_name { value: 'pool' } allowed_batch_sizes: 32 allowed_batch_sizes: 128",
      "f");
  ASSERT_TRUE(config.ok()) << config.status();
  const batch::BatchSettings settings = SettingsOf(*config, {.mode = BatchMode::kChecked});
  EXPECT_EQ(settings.mode, BatchMode::kChecked);
  EXPECT_EQ(settings.rows_max, 128);
  EXPECT_EQ(settings.allowed_rows, (std::vector<int64_t>{32, 128}));
  EXPECT_EQ(settings.runs, 8U);
  EXPECT_EQ(config->max_enqueued_batches, 1000000);
  EXPECT_EQ(config->unused, std::vector<std::string>{"thread_pool_name"});
  EXPECT_EQ(SettingsOf(*ParseBatchingParameters("", "f"), {}), batch::BatchSettings{});
  const auto split = ParseBatchingParameters(
      "max_batch_size { value: 128 } enable_large_batch_splitting { value: true } "
      "max_execution_batch_size { value: 16 } allowed_batch_sizes: 16",
      "f");
  ASSERT_TRUE(split.ok()) << split.status();
  EXPECT_EQ(SettingsOf(*split, {}),
            (batch::BatchSettings{
                .rows_max = 16, .allowed_rows = {16}, .splits = true, .request_rows_max = 128}));
  EXPECT_EQ(settings.request_rows_max, 128) << "also if requests are not split";
  EXPECT_FALSE(settings.splits);
}

TEST(BatchingConfigTest, ParametersThatCannotBeAreRefused) {
  const auto problem = [](std::string_view text) {
    return std::string(MessageOf(ParseBatchingParameters(text, "f").status()));
  };
  EXPECT_EQ(problem("max_enqueued_batches { value: 0 }"),
            "f has a max_enqueued_batches of 0; it must be 1 to 1000000000");
  EXPECT_EQ(problem("max_batch_size { value: 64 } enable_large_batch_splitting { value: true } "
                    "max_execution_batch_size { value: 16 } allowed_batch_sizes: 64"),
            "f has allowed_batch_sizes that end with 64; the last one must be "
            "max_execution_batch_size, 16");
}

TEST(BatchingConfigTest, ParametersWithoutAnEffectAreNamed) {
  EXPECT_EQ(
      ParseBatchingParameters("max_execution_batch_size { value: 16 }", "f")->unused,
      std::vector<std::string>{"max_execution_batch_size without enable_large_batch_splitting"});
}

TEST(BatchingConfigTest, LargeRequestsAreSplitIfTheModelSaysWhatIsLarge) {
  config::ModelOptions options;
  const batch::BatchSettings server{.rows_max = 9, .request_rows_max = 9};
  EXPECT_FALSE(SettingsOf(*ReadBatching(options), server).splits);
  EXPECT_EQ(SettingsOf(*ReadBatching(options), server).request_rows_max, 9);
  options.mutable_batching()->set_split_large_requests(true);
  EXPECT_TRUE(SettingsOf(*ReadBatching(options), server).splits);
  options.mutable_batching()->clear_split_large_requests();
  options.mutable_batching()->set_max_batch_size(4);
  EXPECT_TRUE(SettingsOf(*ReadBatching(options), server).splits);
  EXPECT_EQ(SettingsOf(*ReadBatching(options), server).request_rows_max, 0);
  options.mutable_batching()->set_split_large_requests(false);
  EXPECT_FALSE(SettingsOf(*ReadBatching(options), server).splits);
}

TEST(BatchingConfigTest, PadsNameInputs) {
  config::ModelOptions options;
  EXPECT_FALSE(ReadBatching(options)->pad);
  config::Pad& pad = *options.mutable_batching()->add_pad();
  EXPECT_EQ(MessageOf(ReadBatching(options).status()),
            "has a batching with a pad without an input");
  pad.set_input("ids");
  pad.set_value("1");
  pad.set_mask_input("ids");
  EXPECT_EQ(MessageOf(ReadBatching(options).status()),
            "has a batching with a pad for the input 'ids', which is a mask or length");
  pad.set_mask_input("mask");
  pad.set_length_input("mask");
  EXPECT_EQ(MessageOf(ReadBatching(options).status()),
            "has a batching with a pad for the input 'ids' whose mask and length are one input, "
            "'mask'");
  pad.set_length_input("length");
  pad.add_cut_outputs("state");
  options.mutable_batching()->set_padding_share_max(0.25);
  EXPECT_EQ(SettingsOf(*ReadBatching(options), {}).pad,
            (batch::PadSettings{.rules = {{"ids", "1", "mask", "length", {"state"}}},
                                .share_max = 0.25}));
  *options.mutable_batching()->add_pad() = pad;
  EXPECT_EQ(MessageOf(ReadBatching(options).status()),
            "has a batching with two pads for the input 'ids'");
  options.mutable_batching()->set_padding_share_max(1.5);
  EXPECT_EQ(MessageOf(ReadBatching(options).status()),
            "has a batching with a padding_share_max of 1.5; it must be 0 to 1");
  const auto file = ParseBatchingParameters("pad_variable_length_inputs: true", "f");
  EXPECT_EQ(SettingsOf(*file, {}).pad, (batch::PadSettings{.all_inputs = true}));
}

TEST(BatchingConfigTest, RequestsMayWaitForOthers) {
  config::ModelOptions options;
  config::Batching& batching = *options.mutable_batching();
  EXPECT_EQ(SettingsOf(*ReadBatching(options), {.delay_us_max = 9}).delay_us_max, 9);
  batching.set_queue_delay_us_max(0);
  EXPECT_EQ(SettingsOf(*ReadBatching(options), {.delay_us_max = 9}).delay_us_max, 0);
  batching.set_queue_delay_us_max(500);
  batching.add_preferred_batch_sizes(4);
  batching.add_preferred_batch_sizes(8);
  EXPECT_EQ(SettingsOf(*ReadBatching(options), {}),
            (batch::BatchSettings{.delay_us_max = 500, .preferred_rows = {4, 8}}));
  batching.set_max_batch_size(7);
  EXPECT_EQ(MessageOf(ReadBatching(options).status()),
            "has a batching with preferred_batch_sizes with 8, above max_batch_size, 7");
  batching.set_max_batch_size(8);
  batching.set_queue_delay_us_max(-1);
  EXPECT_EQ(MessageOf(ReadBatching(options).status()),
            "has a batching with a queue_delay_us_max of -1; it must be 0 to 3600000000");
  const auto file = ParseBatchingParameters("batch_timeout_micros { value: 2000 }", "f");
  EXPECT_EQ(SettingsOf(*file, {}).delay_us_max, 2000);
}

TEST(BatchingConfigTest, WrongParametersAreRefused) {
  const std::pair<std::string_view, std::string_view> cases[] = {
      {"max_batch_size { value: 0 }", "f has a max_batch_size of 0; it must be 1 to 1000000"},
      {"batch_timeout_micros { value: -1 }",
       "f has a batch_timeout_micros of -1; it must be 0 to 3600000000"},
      {"enable_large_batch_splitting { value: true } max_batch_size { value: 4 } "
       "max_execution_batch_size { value: 5 }",
       "f has a max_execution_batch_size of 5, above max_batch_size, 4"},
      {"max_execution_batch_size { value: -1 }", "f has a max_execution_batch_size of -1, below 0"},
      {"num_batch_threads { value: 0 }", "f has a num_batch_threads of 0; it must be 1 to 1000000"},
      {"max_batch_size { value: 4 } allowed_batch_sizes: 2",
       "f has allowed_batch_sizes that end with 2; the last one must be max_batch_size, 4"},
  };
  for (const auto& [text, message] : cases)
    EXPECT_EQ(MessageOf(ParseBatchingParameters(text, "f").status()), message);
  EXPECT_EQ(ParseBatchingParameters("max_batch: 3", "f").status().code(),
            StatusCode::kInvalidArgument);
  const Status priorities =
      ParseBatchingParameters("low_priority_max_batch_size { value: 3 }", "f").status();
  EXPECT_NE(priorities.message().find("low_priority_max_batch_size"), std::string::npos);
  EXPECT_NE(priorities.message().find("a model has one by penstock { scheduling { priority: N } }"),
            std::string::npos);
}

}  // namespace
}  // namespace penstock
