// SPDX-License-Identifier: Apache-2.0
// The option table has one row per option. The flags, their validation, --help and
// docs/configuration.md all come from it.
#pragma once

#include <cstdint>
#include <limits>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/status.h"
#include "options/settings.h"

namespace penstock {

enum class OptionType { kBool, kInt, kString };

// The field that holds the value of an option, made by Field or In (option_field.h). Immutable.
struct OptionField {
  OptionType type = OptionType::kInt;
  std::string_view unit = "";  // of a duration
  // For kBool (0 or 1) and kInt.
  int64_t (*get)(const Settings& settings) = nullptr;
  void (*set)(Settings& settings, int64_t value) = nullptr;
  std::string& (*text)(Settings& settings) = nullptr;  // for kString
};

// An option of tensorflow_model_server that Penstock accepts, but that has no effect.
struct ForeignOption {
  OptionType type = OptionType::kBool;
  std::string_view default_text;  // TensorFlow Serving's
  // The value that describes what Penstock always does. Any other value gets a warning, or is
  // refused.
  std::string_view natural_text;
  bool refuse = false;  // other values are refused: ignoring them would change results or safety
};

enum class OptionChange {
  kRestart,  // read once, at the start
  kReload,   // the option names a file, which is read again after changes while the server runs
};

// One option. Immutable, static.
struct OptionRow {
  std::string_view group;
  std::string_view name;
  std::variant<OptionField, ForeignOption> target;
  // One sentence: the meaning. For a foreign option: why it has no effect, or what to do instead.
  std::string_view sentence;
  std::string_view unit = "";
  int64_t min = 0;
  int64_t max = std::numeric_limits<int64_t>::max();
  std::span<const std::string_view> choices = {};  // the allowed strings; empty: all
  OptionChange change = OptionChange::kRestart;

  OptionType type() const;
  // `unit`, or that of the field.
  std::string_view UnitText() const;
  // The default as on the command line. Empty for an empty string.
  std::string DefaultText() const;
};

// The group of --compat and of the foreign options, which come last.
inline constexpr std::string_view kCompatGroup = "Accepted for compatibility";
std::span<const OptionRow> ForeignOptions();

// All options, sorted by group, in the order of the documentation.
std::span<const OptionRow> OptionTable();

struct ParsedOptions {
  Settings settings;
  std::vector<std::string> warnings;                // about flags that have no effect
  std::map<std::string_view, std::string> foreign;  // values of the foreign options, by name
};

// Parses flags in the forms of TensorFlow Serving: --name=value, and for booleans --name,
// --name=true and --name=false. It also accepts --name value and --noname. If a flag comes more
// than once, the last one counts. INVALID_ARGUMENT, with the flag and the correct form: unknown
// names (with the nearest known one), values of the wrong type or out of range, combinations that
// make no sense.
StatusOr<ParsedOptions> ParseOptions(std::span<const std::string> arguments);

// As ParseOptions, for other commands than serve: does not check whether the flags fit together for
// a server.
StatusOr<ParsedOptions> ParseFlags(std::span<const std::string> arguments);

// The text of `penstock serve --help`, and the contents of docs/configuration.md.
std::string OptionsHelp();
std::string OptionsMarkdown();

}  // namespace penstock
