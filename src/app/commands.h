// SPDX-License-Identifier: Apache-2.0
// The subcommands of the program. Each gets the arguments after its name and returns the exit code:
// 0, or 1 after printing an error to standard error.
#pragma once

#include <span>
#include <string>
#include <vector>

namespace penstock {

// Runs the whole command line. If the program's name is tensorflow_model_server, graphpipe-tf or
// graphpipe-onnx, it serves as that program does.
int RunProgram(std::span<const std::string> command_line);

// Finds the subcommand that the first argument names and runs it.
int RunCommand(std::span<const std::string> arguments);

// Runs the server until a signal ends it.
int ServeCommand(std::span<const std::string> arguments);
// The same, and logs these warnings at the start.
int ServeWithWarnings(std::span<const std::string> arguments, std::vector<std::string> warnings);
// Serves one model as GraphPipe's servers do, with their flags.
int GraphPipeCommand(std::span<const std::string> arguments);
// Loads one model and prints its signatures, without a server.
int InspectCommand(std::span<const std::string> arguments);
// Sends load to a model of a running server, and prints how long requests take.
int BenchCommand(std::span<const std::string> arguments);
// Turns a model of another format into an ONNX model.
int ConvertCommand(std::span<const std::string> arguments);
// Makes the files of a table.
int TableCommand(std::span<const std::string> arguments);
// `table push`: writes the rows of a table into a Redis cluster.
int TablePushCommand(std::span<const std::string> arguments);
// Makes a bearer token.
int TokenCommand(std::span<const std::string> arguments);
// Prints the version.
int VersionCommand(std::span<const std::string> arguments);
// Prints all options, as text or as the page docs/configuration.md.
int OptionsCommand(std::span<const std::string> arguments);

}  // namespace penstock
