// SPDX-License-Identifier: Apache-2.0
#include "app/commands.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdio>

#include "app/version.h"
#include "config/token_file.h"

namespace penstock {
namespace {

using testing::HasSubstr;

struct Result {
  int code = 0;
  std::string out, err;
};

Result RunCaptured(const std::vector<std::string>& arguments) {
  testing::internal::CaptureStdout();
  testing::internal::CaptureStderr();
  Result result;
  result.code = RunCommand(arguments);
  std::fflush(stdout);
  result.out = testing::internal::GetCapturedStdout();
  result.err = testing::internal::GetCapturedStderr();
  return result;
}

TEST(CommandsTest, VersionAndHelp) {
  EXPECT_EQ(RunCaptured({"version"}).out, "penstock " + VersionText() + "\n");
  EXPECT_EQ(RunCaptured({"--version"}).code, 0);
  EXPECT_THAT(RunCaptured({"help"}).out, HasSubstr("Usage: penstock <command>"));
  EXPECT_EQ(RunCaptured({"-h"}).code, 0);
}

TEST(CommandsTest, AMissingOrUnknownCommandFails) {
  EXPECT_EQ(RunCaptured({}).code, 1);
  const Result unknown = RunCaptured({"verison"});
  EXPECT_EQ(unknown.code, 1);
  EXPECT_EQ(unknown.err, "penstock: unknown command 'verison'; did you mean 'version'?\n");
  EXPECT_THAT(RunCaptured({"zzzzzzzz"}).err, HasSubstr("`penstock help` lists all"));
}

TEST(CommandsTest, TheNameOfTensorFlowsServerSelectsItsDefaults) {
  testing::internal::CaptureStdout();
  EXPECT_EQ(RunProgram(std::vector<std::string>{"/usr/bin/tensorflow_model_server", "--version"}),
            0);
  std::fflush(stdout);
  EXPECT_EQ(testing::internal::GetCapturedStdout(), TfsVersionText());
  EXPECT_THAT(TfsVersionText(), testing::MatchesRegex("TensorFlow ModelServer: [0-9.]+\\+penstock"
                                                      "\\.[0-9.]+\nTensorFlow Library: [0-9.]+\n"));
  testing::internal::CaptureStdout();
  EXPECT_EQ(RunProgram(std::vector<std::string>{"./penstock", "version"}), 0);
  std::fflush(stdout);
  EXPECT_EQ(testing::internal::GetCapturedStdout(), "penstock " + VersionText() + "\n");
}

TEST(CommandsTest, CompatNeedsNoCommand) {
  for (const std::vector<std::string>& arguments :
       {std::vector<std::string>{"--compat=tensorflow_model_server", "--version"},
        std::vector<std::string>{"--port=0", "--compat", "tensorflow_model_server", "--version"}}) {
    const Result result = RunCaptured(arguments);
    EXPECT_EQ(result.code, 0) << result.err;
    EXPECT_EQ(result.out, TfsVersionText());
  }
}

TEST(CommandsTest, AFlagWithoutACommandNamesServe) {
  const Result result = RunCaptured({"--model_base_path=/m"});
  EXPECT_EQ(result.code, 1);
  EXPECT_EQ(result.err,
            "penstock: the flag --model_base_path=/m needs a command before it; did you mean "
            "`penstock serve --model_base_path=/m`?\n");
  EXPECT_EQ(RunCaptured({"--compat=", "--version"}).code, 1);
}

TEST(CommandsTest, Options) {
  EXPECT_THAT(RunCaptured({"options", "--markdown"}).out, HasSubstr("# Configuration\n"));
  EXPECT_THAT(RunCaptured({"options"}).out, HasSubstr("Usage: penstock serve"));
  EXPECT_EQ(RunCaptured({"options", "--html"}).code, 1);
}

TEST(CommandsTest, TokenNewPrintsATokenAndItsLine) {
  const Result result = RunCaptured({"token", "new", "--name=ranker", "--model=r*"});
  EXPECT_EQ(result.code, 0) << result.err;
  const std::string token = result.out.substr(0, result.out.find('\n'));
  EXPECT_TRUE(token.starts_with("pst_"));
  EXPECT_EQ(result.out, token + "\n" + TokenFileLines("ranker", token, "r*"));
}

TEST(CommandsTest, TokenNewRefusesMistakes) {
  EXPECT_EQ(RunCaptured({"token"}).code, 1);
  EXPECT_EQ(RunCaptured({"token", "old"}).code, 1);
  EXPECT_EQ(RunCaptured({"token", "new", "name"}).code, 1);
  const Result pattern = RunCaptured({"token", "new", "--model=a*b"});
  EXPECT_EQ(pattern.code, 1);
  EXPECT_EQ(pattern.out, "");
  EXPECT_THAT(pattern.err, HasSubstr("a '*' may only be its last character"));
  EXPECT_THAT(RunCaptured({"token", "--help"}).out, HasSubstr("penstock token new"));
}

}  // namespace
}  // namespace penstock
