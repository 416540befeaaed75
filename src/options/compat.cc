// SPDX-License-Identifier: Apache-2.0
// Whoever replaces tensorflow_model_server often cannot change its command line: it stands in a
// manifest or an image. So the server starts with flags that neither program has any more, and only
// warns. A mistyped flag is different. Somebody wanted its effect, which may be a protection, so it
// still stops the start.
#include "options/compat.h"

#include <algorithm>

namespace penstock {
namespace {

// A flag of an earlier release of tensorflow_model_server.
struct RetiredFlag {
  std::string_view name;
  std::string_view sentence;
};

constexpr RetiredFlag kRetired[] = {
    {"use_saved_model", "SavedModels are always taken, and nothing older."},
    {"model_version_policy", "name the versions in model_config_file (model_version_policy)."},
    {"use_tflite_model", "TensorFlow Lite models are not served."},
    {"num_tflite_interpreters", "TensorFlow Lite models are not served."},
    {"rest_api_enable_cors_headers", "the flag is called rest_api_enable_cors_support now."},
};

// A shorter part, such as "port" or "file", occurs in many names by accident.
constexpr size_t kTellingLength = 6;

// True if the longer name contains the shorter one.
bool IsPartOf(std::string_view name, std::string_view other) {
  const std::string_view shorter = name.size() < other.size() ? name : other;
  const std::string_view longer = name.size() < other.size() ? other : name;
  return shorter.size() >= kTellingLength && longer.find(shorter) != std::string_view::npos;
}

}  // namespace

bool AsksForTfs(std::span<const std::string> arguments) {
  constexpr std::string_view kFlag = "--compat", kFlagWithValue = "--compat=";
  // The flags are not parsed yet, because this answer decides with which defaults to parse them.
  std::string_view asked;
  for (size_t i = 0; i < arguments.size(); ++i) {
    const std::string_view argument = arguments[i];
    if (argument.starts_with(kFlagWithValue)) asked = argument.substr(kFlagWithValue.size());
    if (argument == kFlag && i + 1 < arguments.size()) asked = arguments[++i];
  }
  return asked == kTfsProgram;
}

// Sets only the values that differ from Penstock's own defaults. drop_in_test.cc compares all
// defaults.
Settings TfsDefaults() {
  Settings settings;
  settings.compat = kTfsProgram;
  settings.listen = "after_load";
  settings.rest_api_port = 0;
  settings.manager.load_retry_interval = std::chrono::minutes(1);
  settings.enable_batching = false;
  return settings;
}

std::string_view TfsDefaultsText() {
  return "--listen=after_load --rest_api_port=0 --load_retry_interval_micros=60000000 "
         "--enable_batching=false";
}

StatusOr<std::string> WarningForTfsArgument(const OptionTable& table, std::string_view argument) {
  if (!argument.starts_with('-')) {
    return fmt::format(
        "'{}' is ignored: flags look like --name=value, and --name alone means --name=true",
        argument);
  }
  std::string_view name =
      argument.substr(std::min(argument.find_first_not_of('-'), argument.size()));
  name = name.substr(0, name.find('='));
  for (const RetiredFlag& flag : kRetired)
    if (flag.name == name) return fmt::format("{}: No effect: {}", argument, flag.sentence);
  const std::string_view nearest = table.Nearest(name);
  if (!nearest.empty())
    return InvalidArgument("unknown flag {}; did you mean --{}?", argument, nearest);
  for (const OptionRow& row : table.rows())
    if (IsPartOf(name, row.name))
      return InvalidArgument("unknown flag {}; did you mean --{}?", argument, row.name);
  return fmt::format("{}: No effect: neither penstock nor {} has this flag", argument, kTfsProgram);
}

}  // namespace penstock
