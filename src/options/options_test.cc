// SPDX-License-Identifier: Apache-2.0
#include "options/options.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace penstock {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

// Without the options of the leaves.
const OptionTable& Table() {
  static const OptionTable table = JoinOptions({});
  return table;
}

StatusOr<ParsedOptions> Parse(std::vector<std::string> arguments) {
  arguments.insert(arguments.begin(), "--model_base_path=builtin:identity");
  return ParseOptions(Table(), arguments);
}

// The message that these flags are refused with; empty if they are not.
std::string Problem(const std::vector<std::string>& arguments) {
  const auto parsed = Parse(arguments);
  return parsed.ok() ? "" : std::string(MessageOf(parsed.status()));
}

TEST(OptionsTest, DefaultsAreThoseOfTheSettings) {
  const auto parsed = Parse({});
  ASSERT_TRUE(parsed.ok()) << parsed.status();
  EXPECT_EQ(parsed->settings().port, 8500);
  EXPECT_EQ(parsed->settings().rest_api_port, 8501);
  EXPECT_EQ(parsed->settings().model_name, "default");
  EXPECT_THAT(parsed->warnings, IsEmpty());
}

TEST(OptionsTest, AllFormsOfAFlag) {
  const auto parsed =
      Parse({"--port=1", "--model_name", "m", "--rest_api_enable_cors_support",
             "--enable_model_warmup=false", "--notls_require_client_certificate", "--port", "2"});
  ASSERT_TRUE(parsed.ok()) << parsed.status();
  EXPECT_EQ(parsed->settings().port, 2);
  EXPECT_EQ(parsed->settings().model_name, "m");
  EXPECT_TRUE(parsed->settings().net.cors);
  EXPECT_FALSE(parsed->settings().warm_up.enabled);
  EXPECT_FALSE(parsed->settings().net.tls.require_client_certificate);
}

TEST(OptionsTest, ATruthValueDoesNotTakeTheNextArgument) {
  EXPECT_THAT(
      Problem({"--rest_api_enable_cors_support", "false"}),
      HasSubstr("unexpected argument 'false': a truth value needs '=', as in --flag=false"));
}

TEST(OptionsTest, UnknownFlagsAreErrorsWithTheNearestName) {
  EXPECT_EQ(Problem({"--rest_api_prt=1"}),
            "unknown flag --rest_api_prt; did you mean --rest_api_port?");
  EXPECT_EQ(Problem({"--zzzzzzzz"}),
            "unknown flag --zzzzzzzz; `penstock serve --help` lists all flags");
  EXPECT_THAT(Problem({"--no"}), HasSubstr("unknown flag --no"));
  EXPECT_THAT(Problem({"--noport"}), HasSubstr("unknown flag --noport"));
  EXPECT_THAT(Problem({"-port=1"}), HasSubstr("flags look like --name=value"));
}

TEST(OptionsTest, ValuesAreChecked) {
  EXPECT_EQ(Problem({"--port=x"}), "--port=x: expected a whole number");
  EXPECT_EQ(Problem({"--port="}), "--port=: expected a whole number");
  EXPECT_EQ(Problem({"--port=1.5"}), "--port=1.5: expected a whole number");
  EXPECT_EQ(Problem({"--port=99999999999999999999"}),
            "--port=99999999999999999999: expected a whole number");
  EXPECT_EQ(Problem({"--port=65536"}), "--port=65536: must be from -1 to 65535");
  EXPECT_EQ(Problem({"--log_level=loud"}),
            "--log_level=loud: must be one of debug, info, warning, error, off");
  EXPECT_EQ(Problem({"--rest_api_enable_cors_support=maybe"}),
            "--rest_api_enable_cors_support=maybe: expected true or false");
  EXPECT_EQ(Problem({"--port"}), "--port lacks a value: expected a whole number");
}

TEST(OptionsTest, FlagsWithoutEffectWarnOnlyIfTheyChangeADefault) {
  const auto parsed = Parse({"--xla_cpu_compilation_enabled", "--rest_api_num_threads=4",
                             "--enable_profiler=false", "--enable_grpc_healthcheck_service"});
  ASSERT_TRUE(parsed.ok()) << parsed.status();
  EXPECT_THAT(parsed->warnings,
              ElementsAre(HasSubstr("--xla_cpu_compilation_enabled=true: No effect"),
                          HasSubstr("--rest_api_num_threads=4: No effect: REST runs on")));
  EXPECT_THAT(Problem({"--enable_batching=often"}), HasSubstr("expected true or false"));
  EXPECT_THAT(Problem({"--grpc_max_threads=many"}), HasSubstr("expected a whole number"));
}

TEST(OptionsTest, FlagsThatNeedAnotherWarnWithoutIt) {
  const auto warnings = [](std::initializer_list<std::string> flags) {
    const auto parsed = Parse(flags);
    EXPECT_TRUE(parsed.ok()) << parsed.status();
    return parsed->warnings;
  };
  EXPECT_THAT(warnings({"--token_file_poll_seconds=1", "--request_log_queue_bytes_max=65536"}),
              ElementsAre("--token_file_poll_seconds has no effect without --token_file",
                          "--request_log_queue_bytes_max has no effect without "
                          "--request_log_directory"));
  EXPECT_THAT(warnings({"--token_file_poll_seconds=1", "--token_file=/t"}), IsEmpty());
}

TEST(OptionsTest, UnsupportedFlagsThatChangeResultsOrSafetyAreRefused) {
  EXPECT_THAT(Problem({"--use_alts_credentials"}), HasSubstr("use tls_certificate_file"));
  EXPECT_THAT(Problem({"--mixed_precision=bfloat16"}), HasSubstr("convert the model"));
  EXPECT_EQ(Problem({"--use_alts_credentials=false", "--mixed_precision="}), "");
}

TEST(OptionsTest, TheHealthPortMustDifferFromTheOthers) {
  for (const char* flag :
       {"--health_port=8500", "--health_port=8501", "--admin_port=8500", "--admin_port=8501"}) {
    const auto parsed =
        ParseOptions(Table(), std::vector<std::string>{"--model_base_path=/m", flag});
    ASSERT_FALSE(parsed.ok());
    EXPECT_TRUE(MessageOf(parsed.status()).ends_with("others serve there, too"));
  }
}

TEST(OptionsTest, Contradictions) {
  EXPECT_THAT(Problem({"--port=0", "--rest_api_port=0"}), HasSubstr("nothing to listen at"));
  EXPECT_EQ(Problem({"--port=0", "--rest_api_port=0", "--grpc_socket_path=/s"}), "");
  EXPECT_THAT(Problem({"--model_base_path="}), HasSubstr("no model"));
  EXPECT_THAT(Problem({"--model_name="}), HasSubstr("--model_name is empty"));
  EXPECT_THAT(Problem({"--model_base_path=file://host/a"}),
              HasSubstr("--model_base_path='file://host/a': a file URL has three slashes"));
  EXPECT_EQ(Problem({"--model_base_path=file://host/a", "--model_config_file=f"}), "");
  EXPECT_THAT(Problem({"--tls_key_file=k"}), HasSubstr("needs --tls_certificate_file"));
  EXPECT_THAT(Problem({"--tls_certificate_file=c"}), HasSubstr("needs --tls_key_file"));
  EXPECT_THAT(Problem({"--tls_client_ca_file=c"}), HasSubstr("needs --tls_certificate_file"));
  EXPECT_THAT(
      Problem({"--tls_certificate_file=c", "--tls_key_file=k", "--tls_require_client_certificate"}),
      HasSubstr("needs --tls_client_ca_file"));
  EXPECT_THAT(Problem({"--tls_certificate_file=c", "--tls_key_file=k", "--ssl_config_file=s"}),
              HasSubstr("either"));
  EXPECT_THAT(
      Problem({"--tensorflow_session_parallelism=1", "--tensorflow_intra_op_parallelism=1"}),
      HasSubstr("give it or them"));
  EXPECT_THAT(Problem({"--admin_address=127.0.0.1", "--admin_socket=/s"}),
              HasSubstr("--admin_address=127.0.0.1 needs --admin_port"));
  EXPECT_EQ(Problem({"--admin_address=127.0.0.1", "--admin_port=-1"}), "");
  EXPECT_THAT(Problem({"--http2_connection_window_bytes=65535"}), HasSubstr("must not be less"));
  EXPECT_EQ(Problem({"--batching_parameters_file=b"}), "");
  EXPECT_EQ(Problem({"--batching_parameters_file=b", "--noenable_batching"}),
            "--batching_parameters_file=b needs --enable_batching");
  EXPECT_EQ(Problem({"--compat=tensorflow_model_server", "--batching_parameters_file=b"}),
            "--batching_parameters_file=b needs --enable_batching");
  EXPECT_EQ(Problem({"--batching_parameters_file=b", "--enable_batching=1"}), "");
  EXPECT_EQ(Problem({"--batching_parameters_file="}), "");
}

StatusOr<ParsedOptions> ParseAsTfs(std::vector<std::string> arguments) {
  arguments.insert(arguments.begin(), {"--compat=tensorflow_model_server", "--model_base_path=/m"});
  return ParseOptions(Table(), arguments);
}

TEST(OptionsTest, CompatTakesTheDefaultsOfTensorFlowsServer) {
  const auto parsed = ParseAsTfs({});
  ASSERT_TRUE(parsed.ok()) << parsed.status();
  EXPECT_TRUE(StandsInForTfs(parsed->settings()));
  EXPECT_EQ(parsed->settings().rest_api_port, 0);
  EXPECT_EQ(parsed->settings().listen, "after_load");
  EXPECT_EQ(parsed->settings().manager.load_retry_interval, std::chrono::minutes(1));
  // Flags count over them, wherever they stand, and the last --compat counts.
  EXPECT_EQ(
      ParseOptions(Table(), std::vector<std::string>{"--rest_api_port=8501", "--model_base_path=/m",
                                                     "--compat", "tensorflow_model_server"})
          ->settings()
          .rest_api_port,
      8501);
  const auto native = ParseAsTfs({"--compat=none"});
  ASSERT_TRUE(native.ok()) << native.status();
  EXPECT_FALSE(StandsInForTfs(native->settings()));
  EXPECT_EQ(native->settings().rest_api_port, 8501);
}

TEST(OptionsTest, CompatWarnsOfRetiredAndForeignFlagsAndGoesOn) {
  for (const char* flag :
       {"--use_saved_model=true", "--use_saved_model", "--model_version_policy=LATEST_VERSION",
        "--use_tflite_model=false", "--num_tflite_interpreters=4", "--rest_api_enable_cors_headers",
        "--zz"}) {
    const auto parsed = ParseAsTfs({flag});
    ASSERT_TRUE(parsed.ok()) << flag << ": " << parsed.status();
    ASSERT_EQ(parsed->warnings.size(), 1u) << flag;
    EXPECT_TRUE(parsed->warnings[0].starts_with(std::string(flag) + ": No effect: "));
    EXPECT_FALSE(
        ParseOptions(Table(), std::vector<std::string>{flag, "--model_base_path=/m"}).ok());
  }
}

TEST(OptionsTest, CompatEndsTheStartForANearMissOfAFlag) {
  for (const auto& [flag, meant] : std::initializer_list<std::pair<const char*, const char*>>{
           {"--rest_api_prt=8501", "--rest_api_port"},
           {"--ssl_config=/s", "--ssl_config_file"},
           {"--require_client_cert", "--tls_require_client_certificate"},
           {"-port=8500", "--port"}}) {
    const auto parsed = ParseAsTfs({flag});
    ASSERT_FALSE(parsed.ok()) << flag;
    EXPECT_EQ(MessageOf(parsed.status()),
              fmt::format("unknown flag {}; did you mean {}?", flag, meant));
  }
}

TEST(OptionsTest, CompatIgnoresStrayWordsWithAWarning) {
  const auto parsed = ParseAsTfs({"--enable_model_warmup", "false", "serve"});
  ASSERT_TRUE(parsed.ok()) << parsed.status();
  EXPECT_TRUE(parsed->settings().warm_up.enabled);
  ASSERT_EQ(parsed->warnings.size(), 2u);
  EXPECT_EQ(parsed->warnings[0],
            "'false' is ignored: flags look like --name=value, and --name alone means --name=true");
}

TEST(OptionsTest, HelpAndVersionNeedNoModel) {
  EXPECT_TRUE(ParseOptions(Table(), std::vector<std::string>{"--help"})->settings().help);
  EXPECT_TRUE(ParseOptions(Table(), std::vector<std::string>{"-h"})->settings().help);
  EXPECT_TRUE(ParseOptions(Table(), std::vector<std::string>{"--version"})->settings().version);
}

TEST(OptionsTest, EveryDefaultIsAllowed) {
  for (const OptionRow& row : Table().rows()) {
    EXPECT_TRUE(row.sentence.ends_with('.')) << row.name;
    if (row.group == "Accepted for compatibility" || row.type() == OptionType::kBool) continue;
    if (row.name == "model_base_path" || row.name == "model_config_file") continue;
    EXPECT_EQ(Problem({fmt::format("--{}={}", row.name, row.DefaultText())}), "");
  }
}

TEST(OptionsTest, HelpNamesEveryOptionWithItsDefault) {
  const std::string help = OptionsHelp(Table());
  for (const OptionRow& row : Table().rows())
    EXPECT_THAT(help, HasSubstr(fmt::format("\n  --{}", row.name)));
  EXPECT_THAT(help, HasSubstr("  --port=<int>  (default 8500; -1..65535)\n"));
  EXPECT_THAT(help, HasSubstr("  --log_format=<string>  (default text; text, json)\n"));
}

}  // namespace
}  // namespace penstock
