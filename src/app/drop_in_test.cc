// SPDX-License-Identifier: Apache-2.0
// What the flags of tensorflow_model_server do here: each is taken with its meaning, taken without
// effect, or refused with a sentence that says what replaces it; and the page about it says so.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <set>
#include <sstream>

#include "app/builtins.h"
#include "base/os/test_paths.h"
#include "options/compat.h"
#include "options/options.h"

namespace penstock {
namespace {

using testing::HasSubstr;

enum class Fate {
  kSame,     // the same meaning, and default
  kDiffers,  // the same meaning, another default
  kIgnored,  // no effect; a warning says why
  kRefused,  // only the default is taken
};

struct TheirFlag {
  std::string_view name;
  std::string_view default_text;  // there
  std::string_view value;         // one that people give, not the default
  Fate fate;
};

// In the order of that server's own help.
constexpr TheirFlag kFlags[] = {
    {"port", "8500", "9000", Fate::kSame},
    {"grpc_socket_path", "", "/tmp/s", Fate::kSame},
    {"rest_api_port", "0", "9001", Fate::kDiffers},
    {"rest_api_num_threads", "", "16", Fate::kIgnored},
    {"rest_api_timeout_in_ms", "30000", "60000", Fate::kSame},
    {"rest_api_enable_cors_support", "false", "true", Fate::kSame},
    {"enable_batching", "false", "true", Fate::kDiffers},
    {"allow_version_labels_for_unavailable_models", "false", "true", Fate::kSame},
    {"batching_parameters_file", "", "/b", Fate::kSame},
    {"enable_per_model_batching_parameters", "false", "true", Fate::kSame},
    {"model_config_file", "", "/m", Fate::kSame},
    {"model_config_file_poll_wait_seconds", "0", "-1", Fate::kSame},
    {"model_name", "default", "m", Fate::kSame},
    {"model_base_path", "", "/m", Fate::kSame},
    {"num_load_threads", "0", "64", Fate::kSame},
    {"num_unload_threads", "0", "64", Fate::kSame},
    {"max_num_load_retries", "5", "-3", Fate::kSame},
    {"load_retry_interval_micros", "60000000", "-5", Fate::kDiffers},
    {"file_system_poll_wait_seconds", "1", "-60", Fate::kSame},
    {"flush_filesystem_caches", "true", "false", Fate::kSame},
    {"tensorflow_session_parallelism", "0", "4", Fate::kSame},
    {"tensorflow_session_config_file", "", "/c", Fate::kIgnored},
    {"tensorflow_intra_op_parallelism", "0", "4", Fate::kSame},
    {"tensorflow_inter_op_parallelism", "0", "4", Fate::kSame},
    {"use_alts_credentials", "false", "true", Fate::kRefused},
    {"ssl_config_file", "", "/s", Fate::kSame},
    {"platform_config_file", "", "/p", Fate::kRefused},
    {"per_process_gpu_memory_fraction", "0", "0.5", Fate::kIgnored},
    {"saved_model_tags", "serve", "serve,gpu", Fate::kSame},
    {"grpc_channel_arguments", "", "grpc.max_concurrent_streams=16", Fate::kIgnored},
    {"grpc_max_threads", "", "16", Fate::kIgnored},
    {"enable_model_warmup", "true", "false", Fate::kSame},
    {"num_request_iterations_for_warmup", "0", "3", Fate::kSame},
    {"version", "false", "true", Fate::kSame},
    {"monitoring_config_file", "", "/m", Fate::kSame},
    {"remove_unused_fields_from_bundle_metagraph", "true", "false", Fate::kIgnored},
    {"prefer_tflite_model", "false", "true", Fate::kRefused},
    {"num_tflite_pools", "", "2", Fate::kIgnored},
    {"num_tflite_interpreters_per_pool", "1", "2", Fate::kIgnored},
    {"enable_signature_method_name_check", "false", "true", Fate::kIgnored},
    {"xla_cpu_compilation_enabled", "false", "true", Fate::kIgnored},
    {"xla_gpu_compilation_enabled", "false", "true", Fate::kIgnored},
    {"enable_profiler", "true", "false", Fate::kSame},
    {"thread_pool_factory_config_file", "", "/t", Fate::kIgnored},
    {"mixed_precision", "", "bfloat16", Fate::kRefused},
    {"skip_initialize_tpu", "false", "true", Fate::kSame},
    {"enable_grpc_healthcheck_service", "false", "true", Fate::kSame},
    {"enable_serialization_as_tensor_content", "false", "true", Fate::kSame},
};

StatusOr<ParsedOptions> Parse(const TheirFlag& flag, std::string_view value) {
  std::vector<std::string> arguments = {"--model_base_path=builtin:identity",
                                        fmt::format("--{}={}", flag.name, value)};
  if (flag.name == "batching_parameters_file") arguments.push_back("--enable_batching=false");
  if (flag.name == "batching_parameters_file" && !value.empty())
    arguments.back() = "--enable_batching";
  return ParseOptions(AllOptions(), arguments);
}

// The warning about `flag`; empty if there is none.
std::string WarningOf(const ParsedOptions& parsed, const TheirFlag& flag) {
  for (const std::string& warning : parsed.warnings)
    if (warning.starts_with(fmt::format("--{}=", flag.name))) return warning;
  return "";
}

TEST(DropInTest, NoOptionAppearsTwice) {
  std::set<std::string_view> names;
  for (const OptionRow& row : AllOptions().rows())
    EXPECT_TRUE(names.insert(row.name).second) << row.name;
}

TEST(DropInTest, EveryFlagIsKnownWithItsDefault) {
  for (const TheirFlag& flag : kFlags) {
    SCOPED_TRACE(flag.name);
    const OptionRow* const row = AllOptions().Find(flag.name);
    ASSERT_NE(row, nullptr);
    EXPECT_EQ(row->DefaultText() == flag.default_text, flag.fate != Fate::kDiffers);
    if (flag.name == "model_base_path" || flag.default_text.empty()) continue;
    const auto parsed = Parse(flag, flag.default_text);
    EXPECT_TRUE(parsed.ok()) << parsed.status();
  }
}

TEST(DropInTest, CompatHasEveryDefaultOfTheirs) {
  OptionValues values;
  values.Mutable<Settings>() = TfsDefaults();
  for (const TheirFlag& flag : kFlags) {
    const auto* const field = std::get_if<OptionField>(&AllOptions().Find(flag.name)->target);
    if (field == nullptr) continue;
    SCOPED_TRACE(flag.name);
    if (field->type == OptionType::kInt) {
      EXPECT_EQ(std::to_string(field->get(values)), flag.default_text);
    } else if (field->type == OptionType::kString) {
      EXPECT_EQ(field->text(values), flag.default_text);
    } else {
      EXPECT_EQ(field->get(values) != 0, flag.default_text == "true");
    }
  }
}

TEST(DropInTest, EveryFlagIsAcceptedOrRefusedWithAReason) {
  for (const TheirFlag& flag : kFlags) {
    SCOPED_TRACE(flag.name);
    const auto parsed = Parse(flag, flag.value);
    if (flag.fate == Fate::kRefused) {
      ASSERT_FALSE(parsed.ok());
      EXPECT_THAT(std::string(MessageOf(parsed.status())),
                  HasSubstr(fmt::format("--{}={}: ", flag.name, flag.value)));
      EXPECT_TRUE(MessageOf(parsed.status()).ends_with('.'));
      continue;
    }
    ASSERT_TRUE(parsed.ok()) << parsed.status();
    EXPECT_EQ(WarningOf(*parsed, flag).empty(), flag.fate != Fate::kIgnored);
  }
}

TEST(DropInTest, EveryRefusedStartGivesAReason) {
  const auto problem = [](std::vector<std::string> arguments) {
    const auto parsed = ParseOptions(AllOptions(), arguments);
    return parsed.ok() ? "" : std::string(MessageOf(parsed.status()));
  };
  const std::string model = "--model_base_path=/m";
  EXPECT_THAT(problem({}), HasSubstr("no model"));
  EXPECT_THAT(problem({model, "--batching_parameters_file=/b", "--noenable_batching"}),
              HasSubstr("--enable_batching"));
  EXPECT_THAT(
      problem({model, "--tensorflow_session_parallelism=1", "--tensorflow_intra_op_parallelism=1",
               "--tensorflow_inter_op_parallelism=1"}),
      HasSubstr("give it or them"));
  EXPECT_THAT(problem({model, "--use_alts_credentials", "--ssl_config_file=/s"}),
              HasSubstr("ALTS is not there"));
  EXPECT_THAT(problem({model, "--port=0", "--rest_api_port=0"}), HasSubstr("nothing to listen at"));
  EXPECT_EQ(problem({model, "--port=8501", "--rest_api_port=8501"}), "");
  EXPECT_EQ(problem({model, "--model_config_file=/m"}), "");
}

// The rows of the table of flags: each with the names and defaults that are true.
TEST(DropInTest, ThePageListsEveryFlagWithBothDefaults) {
  std::ifstream file(SourcePath("docs/migrate-from-tensorflow-serving.md"));
  std::ostringstream text;
  text << file.rdbuf();
  const auto code = [](std::string_view value) {
    return value.empty() ? std::string() : fmt::format("`{}`", value);
  };
  for (const TheirFlag& flag : kFlags) {
    const OptionRow* const row = AllOptions().Find(flag.name);
    ASSERT_NE(row, nullptr) << flag.name;
    // A number of processors stands without quotes.
    const bool counts_cpus = flag.default_text.empty() && row->type() == OptionType::kInt;
    const std::string theirs = counts_cpus ? "" : code(flag.default_text) + " | ";
    EXPECT_THAT(text.str(), HasSubstr(fmt::format("\n| `{}` | {}", flag.name, theirs)));
    const size_t at = text.str().find(fmt::format("\n| `{}` |", flag.name));
    if (at == std::string::npos) continue;
    const std::string line = text.str().substr(at + 1, text.str().find('\n', at + 1) - at - 1);
    EXPECT_THAT(line, HasSubstr(fmt::format(" | {} | ", code(row->DefaultText()))));
    const bool says_refused = line.find("| Refused") != std::string::npos;
    const bool says_no_effect = line.find("| No effect") != std::string::npos;
    EXPECT_EQ(says_refused, flag.fate == Fate::kRefused) << line;
    EXPECT_EQ(says_no_effect, std::holds_alternative<ForeignOption>(row->target) && !says_refused)
        << line;
  }
}

}  // namespace
}  // namespace penstock
