// SPDX-License-Identifier: Apache-2.0
// The flags of the small commands.
#pragma once

#include <algorithm>
#include <charconv>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/options/nearest_name.h"
#include "base/status.h"

namespace penstock {

// One flag, and what it does with its value. A switch may stand without one, and is "true" then.
template <typename Options>
struct CommandFlag {
  std::string_view name;
  Status (*set)(std::string_view value, Options& options);
  bool is_switch = false;
};

// What is on a command line beside the flags.
struct CommandLine {
  bool asks_for_help = false;
  std::string input;  // the one argument that is no flag, or empty
};

// Parses --name=value and --name value. Errors: INVALID_ARGUMENT, with the nearest name of a flag
// that is unknown.
template <typename Options>
StatusOr<CommandLine> ParseCommand(std::span<const std::string> arguments,
                                   std::span<const CommandFlag<Options>> flags, Options& options) {
  CommandLine line;
  for (size_t i = 0; i < arguments.size(); ++i) {
    const std::string_view argument = arguments[i];
    if (argument == "--help" || argument == "-h") {
      line.asks_for_help = true;
      return line;
    }
    if (!argument.starts_with("--")) {
      if (!line.input.empty() || argument.empty())
        return InvalidArgument("one at a time, not both '{}' and '{}'", line.input, argument);
      line.input = argument;
      continue;
    }
    const size_t equals = std::min(argument.find('='), argument.size());
    const std::string_view name = argument.substr(2, equals - 2);
    const auto flag = std::ranges::find(flags, name, &CommandFlag<Options>::name);
    if (flag == flags.end()) {
      std::vector<std::string_view> names;
      for (const CommandFlag<Options>& each : flags) names.push_back(each.name);
      const std::string_view nearest = NearestName(name, names);
      return InvalidArgument("unknown flag {}{}", argument,
                             nearest.empty() ? "" : fmt::format("; did you mean --{}?", nearest));
    }
    if (equals < argument.size()) {
      TRY(flag->set(argument.substr(equals + 1), options));
    } else if (flag->is_switch) {
      TRY(flag->set("true", options));
    } else if (i + 1 < arguments.size() && !arguments[i + 1].starts_with("--")) {
      TRY(flag->set(arguments[++i], options));
    } else {
      return InvalidArgument("{} needs a value, as in {}=VALUE", argument, argument);
    }
  }
  return line;
}

template <typename T>
std::optional<T> ParseNumber(std::string_view text) {
  T number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return number;
}

}  // namespace penstock
