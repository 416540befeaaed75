// SPDX-License-Identifier: Apache-2.0
#include "options/graphpipe_flags.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "options/options.h"

namespace penstock {
namespace {

using testing::AllOf;
using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::IsSupersetOf;

StatusOr<GraphPipeFlags> ParsePipe(const std::vector<std::string>& arguments,
                                   const GraphPipeVariables& environment = {}) {
  static const OptionTable table = JoinOptions({});
  return ParseGraphPipeFlags(arguments, environment, table);
}

std::string FlagsError(const std::vector<std::string>& arguments,
                       const GraphPipeVariables& environment = {}) {
  const StatusOr<GraphPipeFlags> flags = ParsePipe(arguments, environment);
  return flags.ok() ? "no error" : std::string(MessageOf(flags.status()));
}

TEST(GraphPipeFlagsTest, TakesTheFlagsOfTheTensorFlowServer) {
  const auto flags = ParsePipe({"--model", "m.pb", "--inputs=x:0,z", "--outputs", "y", "--listen",
                                "0.0.0.0:9001", "--cache", "--cache-dir=/c", "--verbose"});
  ASSERT_TRUE(flags.ok()) << flags.status();
  EXPECT_EQ(flags->model, "m.pb");
  EXPECT_EQ(flags->inputs, "x:0,z");
  EXPECT_EQ(flags->outputs, "y");
  EXPECT_EQ(flags->listen, "0.0.0.0:9001");
  EXPECT_EQ(flags->cache_dir, "/c");
  EXPECT_TRUE(flags->cache && flags->verbose);
  EXPECT_THAT(flags->warnings, IsEmpty());
}

TEST(GraphPipeFlagsTest, TakesTheirShortForms) {
  for (const std::vector<std::string>& arguments :
       {std::vector<std::string>{"-m", "m.pb", "-i", "x", "-o", "y", "-l", ":1", "-c", "-d", "/c"},
        std::vector<std::string>{"-mm.pb", "-i=x", "-oy", "-l:1", "-cd/c"},
        std::vector<std::string>{"-cvm", "m.pb", "-ix", "-o=y", "-l", ":1", "-d=/c"}}) {
    const auto flags = ParsePipe(arguments);
    ASSERT_TRUE(flags.ok()) << flags.status();
    EXPECT_EQ(flags->model + flags->inputs + flags->outputs + flags->listen + flags->cache_dir,
              "m.pbxy:1/c");
    EXPECT_TRUE(flags->cache);
  }
  EXPECT_TRUE(ParsePipe({"-V"})->version);
  EXPECT_TRUE(ParsePipe({"-h"})->help);
}

TEST(GraphPipeFlagsTest, TakesBothSpellingsOfTheOnnxServer) {
  const auto dashes = ParsePipe(
      {"--init-net=i", "--predict-net=p", "--value-inputs=v", "--engine-count=3", "--dir=/c"});
  const auto underscores = ParsePipe({"--init_net", "i", "--predict_net", "p", "--value_inputs",
                                      "v", "--engine_count", "3", "--cache_dir", "/c"});
  for (const auto* const flags : {&dashes, &underscores}) {
    ASSERT_TRUE(flags->ok()) << flags->status();
    EXPECT_EQ((*flags)->init_net + (*flags)->predict_net + (*flags)->value_inputs, "ipv");
    EXPECT_EQ((*flags)->engine_count, 3);
    EXPECT_EQ((*flags)->cache_dir, "/c");
  }
}

TEST(GraphPipeFlagsTest, AFlagCountsMoreThanItsVariable) {
  const GraphPipeVariables environment = {{"GP_MODEL", "~/e.pb"},  {"GP_INPUTS", "x"},
                                          {"GP_OUTPUTS", "y"},     {"GP_CACHE", "TRUE"},
                                          {"GP_ENGINE_COUNT", ""}, {"HOME", "/home/me"}};
  auto flags = ParsePipe({"--outputs=z", "--cache=false"}, environment);
  ASSERT_TRUE(flags.ok()) << flags.status();
  EXPECT_EQ(flags->model, "/home/me/e.pb");
  EXPECT_EQ(flags->inputs, "x");
  EXPECT_EQ(flags->outputs, "z");
  EXPECT_FALSE(flags->cache);
  EXPECT_EQ(flags->engine_count, 0);
  EXPECT_EQ(flags->cache_dir, "/home/me/.graphpipe");
  flags = ParsePipe({}, {{"GP_INIT_NET", "i"}, {"GP_PREDICT_NET", "p"}, {"GP_VALUE_INPUTS", "v"}});
  EXPECT_TRUE(flags.ok()) << flags.status();
  EXPECT_THAT(FlagsError({"-m", "m"}, {{"GP_CACHE", "perhaps"}}),
              HasSubstr("GP_CACHE=perhaps: expected true or false"));
}

TEST(GraphPipeFlagsTest, WhatHasNoEffectSaysWhatToUseInstead) {
  EXPECT_THAT(ParsePipe({"-m", "m", "--disable-cuda", "--profile=f", "--value-inputs=v"},
                        {{"GP_LISTEN", ":1"}})
                  ->warnings,
              ElementsAre(HasSubstr("GP_LISTEN has no effect; those that have are GP_MODEL, "),
                          HasSubstr("always run on the CPU"), HasSubstr("perf record"),
                          HasSubstr("--value-inputs has no effect with --model")));
  EXPECT_THAT(ParsePipe({"--init-net=i", "--predict-net=p", "--value-inputs=v", "-ox"})->warnings,
              ElementsAre(HasSubstr("--outputs have no effect")));
}

TEST(GraphPipeFlagsTest, Mistakes) {
  EXPECT_THAT(FlagsError({}), HasSubstr("no model: give --model (or GP_MODEL)"));
  EXPECT_THAT(FlagsError({"m.pb"}), HasSubstr("unexpected argument 'm.pb'"));
  EXPECT_THAT(FlagsError({"--modle=m.pb"}), HasSubstr("did you mean --model?"));
  EXPECT_THAT(FlagsError({"-m"}), HasSubstr("-m needs a value"));
  EXPECT_THAT(FlagsError({"--rest_api_port"}), HasSubstr("--rest_api_port needs a value"));
  EXPECT_THAT(FlagsError({"-x"}), HasSubstr("unknown flag -x"));
  EXPECT_THAT(FlagsError({"-m", "m", "--cache=2"}), HasSubstr("--cache=2: expected true or false"));
  EXPECT_THAT(FlagsError({"-m", "m", "--engine-count=0"}),
              HasSubstr("expected a number from 1 to"));
  EXPECT_THAT(FlagsError({"-m", "m", "--init-net=i"}), HasSubstr("leave out --init-net"));
  EXPECT_THAT(FlagsError({"--init-net=i", "--value-inputs=v"}),
              HasSubstr("--predict-net is missing"));
  EXPECT_THAT(FlagsError({"-m", "m", "--model_base_path=/m"}),
              HasSubstr("is for `penstock serve`"));
}

TEST(GraphPipeFlagsTest, WithoutHomeTheCacheNeedsAFolder) {
  for (const GraphPipeVariables& environment : {GraphPipeVariables{}, {{"HOME", ""}}}) {
    EXPECT_THAT(FlagsError({"-m", "m", "-c"}, environment),
                HasSubstr("HOME is not set: give --cache-dir"));
    EXPECT_THAT(FlagsError({"-m", "~/m"}, environment), HasSubstr("HOME is not set: give --model"));
    EXPECT_TRUE(ParsePipe({"-m", "m"}, environment).ok());
    EXPECT_TRUE(ParsePipe({"-m", "m", "-c", "-d", "/c"}, environment).ok());
  }
  EXPECT_THAT(FlagsError({"-m", "m", "-c", "-d", ""}), HasSubstr("--cache-dir is empty"));
}

TEST(GraphPipeFlagsTest, ListsHaveEachNameOnce) {
  EXPECT_THAT(FlagsError({"-m", "m", "-i", "x,x:0"}), HasSubstr("x:0 stands in --inputs already"));
  EXPECT_THAT(FlagsError({"-m", "m", "-o", "y", "--more-outputs=z,y:0"}),
              HasSubstr("--more-outputs=z,y:0: y:0 stands in --outputs already"));
  for (const char* list : {"x,", ",x", "x,,y", ","})
    EXPECT_THAT(FlagsError({"-m", "m", "-o", list}), HasSubstr("a name is empty")) << list;
  EXPECT_TRUE(ParsePipe({"-m", "m", "-i", "x,x:1", "-o", "x"}).ok());
}

TEST(GraphPipeFlagsTest, AModelByFlagsCountsMoreThanOneByVariables) {
  const GraphPipeVariables all = {{"GP_MODEL", "m"}, {"GP_INIT_NET", "i"}, {"GP_PREDICT_NET", "p"}};
  const auto nets = ParsePipe({"--init-net=a", "--predict-net=b", "--value-inputs=c"}, all);
  ASSERT_TRUE(nets.ok()) << nets.status();
  EXPECT_EQ(nets->model + nets->init_net + nets->predict_net, "ab");
  EXPECT_THAT(nets->warnings, ElementsAre(HasSubstr("GP_MODEL has no effect with --init-net")));
  const auto model = ParsePipe({"-m", "n"}, all);
  ASSERT_TRUE(model.ok()) << model.status();
  EXPECT_EQ(model->model + model->init_net, "n");
  EXPECT_THAT(FlagsError({}, all), HasSubstr("(or GP_MODEL) is a model of its own"));
}

TEST(GraphPipeFlagsTest, FlagsOfServeArePassedOn) {
  const auto known = ParsePipe({"--rest_api_port", "8501", "-m", "m.pb", "--noenable_batching",
                                "--log_level=error", "--listen=at_start"});
  ASSERT_TRUE(known.ok()) << known.status();
  EXPECT_THAT(known->serve_flags, ElementsAre("--rest_api_port", "8501", "--noenable_batching",
                                              "--log_level=error", "--listen=at_start"));
  EXPECT_EQ(known->listen, "127.0.0.1:9000");
  // Their names may have "-", too.
  const auto dashes =
      ParsePipe({"-m", "m.pb", "--rest-api-port=1", "--port", "2", "--log-level=-"});
  ASSERT_TRUE(dashes.ok()) << dashes.status();
  EXPECT_THAT(dashes->serve_flags,
              ElementsAre("--rest_api_port=1", "--port", "2", "--log_level=-"));
  EXPECT_THAT(FlagsError({"-m", "m", "--model-config-file=f"}), HasSubstr("--model_config_file"));
}

TEST(GraphPipeFlagsTest, BecomeFlagsOfServe) {
  const auto plain = ServeFlagsFor(*ParsePipe({"-m", "m"}), "/models.config");
  EXPECT_THAT(*plain,
              ElementsAre("--model_config_file=/models.config", "--port=0", "--rest_api_port=0",
                          "--address=127.0.0.1", "--graphpipe_port=9000", "--listen=after_load",
                          "--version_settle_ms=0"));
  const auto full = ServeFlagsFor(*ParsePipe({"-m", "m", "-l", "[::1]:0", "-c", "-d", "/c", "-v",
                                              "--engine-count=2", "--rest_api_port=8501"}),
                                  "f");
  EXPECT_THAT(
      *full, AllOf(IsSupersetOf({"--address=::1", "--graphpipe_port=-1", "--row_cache_directory=/c",
                                 "--log_level=debug", "--model_max_concurrency=2"}),
                   Contains("--rest_api_port=0"), testing::Contains("--rest_api_port=8501")));
  EXPECT_EQ(full->back(), "--rest_api_port=8501");  // the last one counts
  // The server takes them.
  EXPECT_TRUE(ParseOptions(JoinOptions({}), *full).ok());
}

TEST(GraphPipeFlagsTest, FurtherOutputsMustBeNamed) {
  const auto serve = ServeFlagsFor(*ParsePipe({"-m", "m", "--more-outputs=a,b:1"}), "f");
  EXPECT_THAT(*serve, Contains("--graphpipe_named_outputs=a:0,b:1"));
}

TEST(GraphPipeFlagsTest, PlacesToListenAt) {
  const auto address_of = [](const std::string& listen) {
    const auto flags = ServeFlagsFor(*ParsePipe({"-m", "m", "-l", listen}), "f");
    return flags.ok() ? (*flags)[3] + " " + (*flags)[4] : std::string(MessageOf(flags.status()));
  };
  EXPECT_EQ(address_of(":80"), "--address=:: --graphpipe_port=80");
  EXPECT_EQ(address_of("localhost:80"), "--address=127.0.0.1 --graphpipe_port=80");
  EXPECT_EQ(address_of("0.0.0.0:0"), "--address=0.0.0.0 --graphpipe_port=-1");
  for (const char* wrong : {"9000", "host:", "host:http", "host:65536", "host:-1", ""})
    EXPECT_THAT(address_of(wrong), HasSubstr("expected ADDRESS:PORT")) << wrong;
}

TEST(GraphPipeFlagsTest, TheHelpNamesEveryFlag) {
  for (const char* flag : {"--model", "--inputs", "--outputs", "--init-net", "--predict-net",
                           "--value-inputs", "--listen", "--cache", "--cache-dir", "--engine-count",
                           "--disable-cuda", "--profile", "--download-bytes-max", "--verbose"})
    EXPECT_THAT(std::string(GraphPipeUsage()), HasSubstr(flag));
}

}  // namespace
}  // namespace penstock
