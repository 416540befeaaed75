// SPDX-License-Identifier: Apache-2.0
// The subcommands of the program. Each gets the arguments behind its name and returns the exit
// code: 0, or 1 after an error that it has printed to standard error.
#pragma once

#include <span>
#include <string>
#include <vector>

namespace penstock {

// Finds the subcommand that the first argument names and runs it.
int RunCommand(std::span<const std::string> arguments);

int ServeCommand(std::span<const std::string> arguments);
int InspectCommand(std::span<const std::string> arguments);
int VersionCommand(std::span<const std::string> arguments);
int OptionsCommand(std::span<const std::string> arguments);

// As "0.1.0".
std::string VersionText();

}  // namespace penstock
