// SPDX-License-Identifier: Apache-2.0
// Parses the command line by the table of all options. Validation, --help and docs/configuration.md
// come from the same table.
#pragma once

#include <initializer_list>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/options/option_row.h"
#include "base/options/option_table.h"
#include "base/status.h"
#include "options/settings.h"

namespace penstock {

// The options of the server, but for those of the leaves. They have all groups.
std::span<const OptionRow> ServerOptions();
// The options of tensorflow_model_server that have no effect.
std::span<const OptionRow> ForeignOptions();
// Joins all of these with the options of the folders that bring their own rows. A name that comes
// twice is a programming error (CHECK).
OptionTable JoinOptions(std::initializer_list<std::span<const OptionRow>> of_leaves);

// The result of parsing. Warnings are returned and not logged, because the level of the log is
// itself an option.
struct ParsedOptions {
  const Settings& settings() const { return values.Get<Settings>(); }

  OptionValues values;
  std::vector<std::string> warnings;                // about flags that have no effect
  std::map<std::string_view, std::string> foreign;  // values of the foreign options, by name
};

// Parses flags in the forms of TensorFlow Serving: --name=value, and for booleans --name,
// --name=true and --name=false. It also accepts --name value and --noname. If a flag comes more
// than once, the last one counts. INVALID_ARGUMENT, with the flag and the correct form: unknown
// names (with the nearest known one), values of the wrong type or out of range, combinations that
// make no sense.
StatusOr<ParsedOptions> ParseOptions(const OptionTable& table,
                                     std::span<const std::string> arguments);

// As ParseOptions, for other commands than serve: does not check whether the flags fit together for
// a server.
StatusOr<ParsedOptions> ParseFlags(const OptionTable& table,
                                   std::span<const std::string> arguments);

// The text of `penstock serve --help`, and the contents of docs/configuration.md, which app_test
// compares with the file.
std::string OptionsHelp(const OptionTable& table);
std::string OptionsMarkdown(const OptionTable& table);

}  // namespace penstock
