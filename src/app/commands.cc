// SPDX-License-Identifier: Apache-2.0
#include "app/commands.h"

#include <fmt/format.h>

#include <cstdio>
#include <filesystem>
#include <string_view>
#include <vector>

#include "app/builtins.h"
#include "app/version.h"
#include "base/options/nearest_name.h"
#include "options/compat.h"
#include "options/options.h"

namespace penstock {
namespace {

struct Command {
  std::string_view name;
  std::string_view arguments;
  std::string_view sentence;
  int (*run)(std::span<const std::string>);
};

int HelpCommand(std::span<const std::string> arguments);

constexpr Command kCommands[] = {
    {"serve", "--model_base_path=FOLDER [flags]", "Serves models; --help lists the flags.",
     &ServeCommand},
    {"graphpipe", "--model=FILE [flags]",
     "Serves a model as graphpipe-tf and graphpipe-onnx do; --help says more.", &GraphPipeCommand},
    {"inspect", "[--json] FOLDER",
     "Describes a model: backend, versions, signatures; --help says more.", &InspectCommand},
    {"bench", "--model=NAME [flags]",
     "Measures a model of a running server; --help lists the flags.", &BenchCommand},
    {"convert", "caffe2 --output=FILE FOLDER",
     "Turns a Caffe2 model into an ONNX model; --help says more.", &ConvertCommand},
    {"table", "build --output=FOLDER FILE",
     "Makes a table from CSV, TSV or words with numbers; `table push` writes it to Redis, and "
     "`table extract` takes tables out of an ONNX model.",
     &TableCommand},
    {"options", "[--markdown]", "Lists the flags of serve, also as docs/configuration.md.",
     &OptionsCommand},
    {"token", "new [--name=NAME] [--model=MODEL]", "Makes a token for --token_file.",
     &TokenCommand},
    {"version", "", "Prints the version.", &VersionCommand},
    {"help", "", "Prints this.", &HelpCommand},
};

// Handles a flag in the place of a command.
int RunWithoutCommand(std::span<const std::string> arguments) {
  if (AsksForTfs(arguments)) return ServeCommand(arguments);  // it has no commands
  fmt::print(stderr,
             "penstock: the flag {} needs a command before it; did you mean `penstock serve {}`?\n",
             arguments[0], arguments[0]);
  return 1;
}

int HelpCommand(std::span<const std::string>) {
  fmt::print("Penstock serves machine-learning models over the protocols that clients speak.\n\n");
  fmt::print("Usage: penstock <command> [arguments]\n\nCommands:\n");
  for (const Command& command : kCommands)
    fmt::print("  {:<42}{}\n", fmt::format("{} {}", command.name, command.arguments),
               command.sentence);
  return 0;
}

}  // namespace

int VersionCommand(std::span<const std::string>) {
  fmt::print("penstock {}\n", VersionText());
  return 0;
}

int OptionsCommand(std::span<const std::string> arguments) {
  if (arguments.empty()) {
    fmt::print("{}", OptionsHelp(AllOptions()));
    return 0;
  }
  if (arguments.size() > 1 || arguments[0] != "--markdown") {
    fmt::print(stderr, "penstock options: the only argument is --markdown\n");
    return 1;
  }
  fmt::print("{}", OptionsMarkdown(AllOptions()));
  return 0;
}

int RunProgram(std::span<const std::string> command_line) {
  if (command_line.empty()) return RunCommand({});
  const std::span<const std::string> arguments = command_line.subspan(1);
  // A link with such a name makes Penstock a drop-in replacement: scripts start it without a
  // change.
  const std::string name = std::filesystem::path(command_line[0]).filename();
  if (name == "graphpipe-tf" || name == "graphpipe-onnx") return GraphPipeCommand(arguments);
  if (name != kTfsProgram) return RunCommand(arguments);
  std::vector<std::string> flags = {fmt::format("--compat={}", kTfsProgram)};
  // After --compat, so that the user's own flags win.
  flags.insert(flags.end(), arguments.begin(), arguments.end());
  return ServeCommand(flags);
}

int RunCommand(std::span<const std::string> arguments) {
  if (arguments.empty()) {
    HelpCommand({});
    return 1;
  }
  std::string_view name = arguments[0];
  if (name == "--help" || name == "-h") name = "help";
  if (name == "--version") name = "version";
  std::vector<std::string_view> names;
  for (const Command& command : kCommands) {
    if (command.name == name) return command.run(arguments.subspan(1));
    names.push_back(command.name);
  }
  if (name.starts_with('-')) return RunWithoutCommand(arguments);
  const std::string_view nearest = NearestName(name, names);
  fmt::print(
      stderr, "penstock: unknown command '{}'; {}\n", name,
      nearest.empty() ? "`penstock help` lists all" : fmt::format("did you mean '{}'?", nearest));
  return 1;
}

}  // namespace penstock
