// SPDX-License-Identifier: Apache-2.0
// The option table: one row per option makes the flags, --help, docs/configuration.md and the
// validation.
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

// Where an option's value goes.
using OptionField = std::variant<bool Settings::*, int64_t Settings::*, std::string Settings::*>;

// An option of tensorflow_model_server that Penstock only understands.
struct ForeignOption {
  OptionType type = OptionType::kBool;
  std::string_view default_text;  // TensorFlow Serving's
  // What Penstock does anyway; any other value gets a warning line, or is refused.
  std::string_view natural_text;
  bool refuse = false;  // ignoring it would change results or safety
};

enum class OptionChange {
  kRestart,  // read once, at the start
  kReload,   // a changed file is read again while the server runs
};

// Immutable, static.
struct OptionRow {
  std::string_view group;
  std::string_view name;
  std::variant<OptionField, ForeignOption> target;
  // What it means; for a foreign option why it has no effect or what to do instead. One sentence.
  std::string_view sentence;
  std::string_view unit = "";
  int64_t min = 0;
  int64_t max = std::numeric_limits<int64_t>::max();
  std::span<const std::string_view> choices = {};  // of a string; empty: any
  OptionChange change = OptionChange::kRestart;

  OptionType type() const;
  // As it would stand on the command line; empty for an empty string.
  std::string DefaultText() const;
};

// All options, groups together, in the order in which they are documented.
std::span<const OptionRow> OptionTable();

struct ParsedOptions {
  Settings settings;
  std::vector<std::string> warnings;                // flags that were accepted and have no effect
  std::map<std::string_view, std::string> foreign;  // the values of such flags, by name
};

// Parses flags as TensorFlow Serving takes them: --name=value, and for truth values --name,
// --name=true, --name=false; and also --name value and --noname. The last one of a name counts.
// INVALID_ARGUMENT, with the flag and what would be right: unknown names (with the nearest), values
// of the wrong type or out of bounds, combinations that make no sense.
StatusOr<ParsedOptions> ParseOptions(std::span<const std::string> arguments);

// As ParseOptions, for another command: without a look at whether the flags make a server.
StatusOr<ParsedOptions> ParseFlags(std::span<const std::string> arguments);

// What `penstock serve --help` prints, and the contents of docs/configuration.md.
std::string OptionsHelp();
std::string OptionsMarkdown();

}  // namespace penstock
