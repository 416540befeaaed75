// SPDX-License-Identifier: Apache-2.0
// The subcommands of the program. Each gets the arguments behind its name and returns the exit
// code: 0, or 1 after an error that it has printed to standard error.
#pragma once

#include <span>
#include <string>
#include <vector>

namespace penstock {

// The whole command line. Under the name tensorflow_model_server the program serves, as that one.
int RunProgram(std::span<const std::string> command_line);

// Finds the subcommand that the first argument names and runs it.
int RunCommand(std::span<const std::string> arguments);

int ServeCommand(std::span<const std::string> arguments);
int InspectCommand(std::span<const std::string> arguments);
int VersionCommand(std::span<const std::string> arguments);
int OptionsCommand(std::span<const std::string> arguments);

// As "0.1.0".
std::string VersionText();
// What tensorflow_model_server --version prints, for --compat: a line for the server, which says
// what it is, and a line for TensorFlow.
std::string TfsVersionText();

}  // namespace penstock
