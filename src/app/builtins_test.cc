// SPDX-License-Identifier: Apache-2.0
#include "app/builtins.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <sstream>

#include "base/os/test_paths.h"
#include "frontends/tfs_grpc/predict_call.h"
#include "options/options.h"
#include "sources/directory/directory_options.h"
#include "sources/objectstore/object_store_options.h"

namespace penstock {
namespace {

TEST(AllOptionsTest, FlagsOfLeavesSetTheStructsOfTheLeaves) {
  const auto parsed = ParseFlags(
      AllOptions(),
      std::vector<std::string>{"--file_system_poll_wait_seconds=7", "--model_cache_directory=/c",
                               "--object_store_list_timeout_seconds=9",
                               "--enable_serialization_as_tensor_content"});
  ASSERT_TRUE(parsed.ok()) << parsed.status();
  const OptionValues& values = parsed->values;
  EXPECT_EQ(values.Get<DirectorySourceOptions>().poll_period, std::chrono::seconds(7));
  EXPECT_EQ(values.Get<ObjectStoreSourceOptions>().cache_folder, "/c");
  EXPECT_EQ(values.Get<ObjectStoreSourceOptions>().turns.time_limit, std::chrono::seconds(9));
  EXPECT_TRUE(values.Get<tfs::PredictOptions>().write.as_tensor_content);
}

TEST(AllOptionsTest, FlagsOfLeavesThatNeedAnotherWarnWithoutIt) {
  const auto warnings = [](const std::vector<std::string>& flags) {
    const auto parsed = ParseFlags(AllOptions(), flags);
    EXPECT_TRUE(parsed.ok()) << parsed.status();
    return parsed->warnings;
  };
  using Warnings = std::vector<std::string>;
  EXPECT_EQ(warnings({"--trace_sample_rate=0.5"}),
            Warnings{"--trace_sample_rate has no effect without --trace_endpoint"});
  EXPECT_EQ(warnings({"--trace_sample_rate=0.5", "--trace_endpoint=http://a"}), Warnings{});
  EXPECT_EQ(warnings({"--access_log_slow_ms=5", "--access_log=errors"}),
            Warnings{"--access_log_slow_ms has no effect without --access_log=slow"});
  EXPECT_EQ(warnings({"--access_log_file=/f", "--access_log=off"}),
            Warnings{"--access_log_file has no effect without --access_log=errors or slow or all"});
  EXPECT_EQ(warnings({"--graphpipe_default_model=m"}),
            Warnings{"--graphpipe_default_model has no effect without --graphpipe_port"});
  EXPECT_EQ(warnings({"--graphpipe_default_model=m", "--graphpipe_port=-1"}), Warnings{});
  EXPECT_EQ(warnings({"--access_log_file=/f"}), Warnings{}) << "'errors' is the default";
}

TEST(AllOptionsTest, TheDefaultsOfLeavesAreAllowed) {
  for (const auto rows :
       {DirectoryOptionRows(), ObjectStoreOptionRows(), tfs::PredictOptionRows()}) {
    for (const OptionRow& row : rows) {
      EXPECT_TRUE(row.sentence.ends_with('.')) << row.name;
      const std::vector<std::string> flag = {fmt::format("--{}={}", row.name, row.DefaultText())};
      EXPECT_TRUE(ParseFlags(AllOptions(), flag).ok()) << flag[0];
    }
  }
}

TEST(AllOptionsTest, ThePageInDocsIsUpToDate) {
  std::ifstream file(SourcePath("docs/configuration.md"));
  std::ostringstream text;
  text << file.rdbuf();
  EXPECT_EQ(text.str(), OptionsMarkdown(AllOptions()))
      << "run: build/release/penstock options --markdown > docs/configuration.md";
}

}  // namespace
}  // namespace penstock
