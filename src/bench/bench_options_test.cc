// SPDX-License-Identifier: Apache-2.0
#include "bench/bench_options.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace penstock::bench {
namespace {

using std::chrono::microseconds;
using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::ElementsAre;
using testing::HasSubstr;

StatusOr<BenchOptions> Parse(std::vector<std::string> arguments) {
  arguments.push_back("--model=m");
  return ParseBenchOptions(arguments);
}

std::string ErrorOf(std::vector<std::string> arguments) {
  return std::string(MessageOf(Parse(std::move(arguments)).status()));
}

TEST(BenchOptionsTest, BothFormsOfFlagsAndNames) {
  const auto options = Parse({"--batch-size=8", "--requests_max", "500", "--rate=100,2.5e3",
                              "--shape=ids:1x128", "--shape", "mask:", "--deadline=100ms",
                              "--metadata=authorization:Bearer x:y", "--seed=9"});
  ASSERT_TRUE(options.ok()) << options.status();
  EXPECT_EQ(options->request.batch_size, 8);
  EXPECT_EQ(options->load.requests_max, 500);
  EXPECT_THAT(options->rates, ElementsAre(100, 2500));
  ASSERT_EQ(options->request.shapes.size(), 2u);
  EXPECT_EQ(options->request.shapes[0].input, "ids");
  EXPECT_THAT(options->request.shapes[0].dims, ElementsAre(1, 128));
  EXPECT_THAT(options->request.shapes[1].dims, ElementsAre());
  EXPECT_EQ(options->load.deadline, milliseconds(100));
  EXPECT_THAT(options->metadata, ElementsAre(testing::Pair("authorization", "Bearer x:y")));
  EXPECT_EQ(options->load.seed, 9u);
  EXPECT_EQ(options->request.seed, 9u);
}

TEST(BenchOptionsTest, Durations) {
  EXPECT_EQ(*ParseDuration("10s"), seconds(10));
  EXPECT_EQ(*ParseDuration("0.5"), milliseconds(500));
  EXPECT_EQ(*ParseDuration("250us"), microseconds(250));
  EXPECT_EQ(*ParseDuration("2m"), seconds(120));
  for (const char* const wrong : {"", "s", "-1s", "1h", "1 s", "1.2.3", "1e9999"})
    EXPECT_FALSE(ParseDuration(wrong).ok()) << wrong;
}

TEST(BenchOptionsTest, MistakesAreNamed) {
  EXPECT_THAT(ErrorOf({"--rats=3"}), HasSubstr("unknown flag --rats; did you mean --rate?"));
  EXPECT_THAT(ErrorOf({"--rate=0"}), HasSubstr("--rate=0: expected requests per second"));
  EXPECT_THAT(ErrorOf({"--rate=1,,2"}), HasSubstr("--rate=1,,2: expected"));
  EXPECT_THAT(ErrorOf({"--rate=nan"}), HasSubstr("--rate=nan: expected"));
  EXPECT_THAT(ErrorOf({"--duration=2h"}), HasSubstr("--duration=2h: expected a time"));
  EXPECT_THAT(ErrorOf({"--duration=3601s"}), HasSubstr("to 1 hour"));
  EXPECT_THAT(ErrorOf({"--streams=0"}), HasSubstr("whole number from 1 to 10000"));
  EXPECT_THAT(ErrorOf({"--shape=1x784"}), HasSubstr("such as x:1x784"));
  EXPECT_THAT(ErrorOf({"--shape=x:1x"}), HasSubstr("such as x:1x784"));
  EXPECT_THAT(ErrorOf({"--metadata=Big:1"}), HasSubstr("lower case"));
  EXPECT_THAT(ErrorOf({"--metadata=a:b\r\nc"}), HasSubstr("name:value"));
  EXPECT_THAT(ErrorOf({"stray"}), HasSubstr("unexpected argument 'stray'"));
  EXPECT_THAT(ErrorOf({"--threads=5"}), HasSubstr("give --connections=5"));
  EXPECT_THAT(ErrorOf({"--request=f", "--batch_size=2"}), HasSubstr("leave out --batch_size"));
  EXPECT_THAT(ErrorOf({"--model_version=1", "--version_label=a"}), HasSubstr("not both"));
  EXPECT_THAT(ErrorOf({"--compare=a.json"}), HasSubstr("give --svg=FILE"));
  EXPECT_THAT(MessageOf(ParseBenchOptions({}).status()), HasSubstr("which model?"));
  const std::vector<std::string> no_value = {"--model"};
  EXPECT_THAT(MessageOf(ParseBenchOptions(no_value).status()), HasSubstr("--model needs a value"));
}

TEST(BenchOptionsTest, HelpHasTheDefaults) {
  EXPECT_THAT(BenchHelp(), HasSubstr("--requests_max=N"));
  EXPECT_THAT(BenchHelp(), HasSubstr("default localhost:8500"));
  EXPECT_TRUE(Parse({"--help", "--nonsense"})->help);
  const BenchOptions defaults;  // the help names these
  EXPECT_EQ(defaults.load.warmup, seconds(2));
  EXPECT_EQ(defaults.load.duration, seconds(10));
  EXPECT_EQ(defaults.load.connections * defaults.load.streams, 4 * 32);
}

}  // namespace
}  // namespace penstock::bench
