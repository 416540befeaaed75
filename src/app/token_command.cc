// SPDX-License-Identifier: Apache-2.0
// `penstock token new`: makes a bearer token. The token and the line for the file go to standard
// output, one line each, so that a script can take either; what they are goes to standard error.
#include <fmt/format.h>

#include <cstdio>
#include <string>
#include <string_view>

#include "access/token.h"
#include "app/commands.h"
#include "config/token_file.h"

namespace penstock {
namespace {

constexpr std::string_view kHelp =
    "Usage: penstock token new [--name=NAME] [--model=MODEL]\n\n"
    "Prints a new token, and below it a line for --token_file, which has only its hash.\n"
    "The token is not kept anywhere: give it to the client now. Edit the line to\n"
    "change what the client may do (docs/security.md).\n\n"
    "  --name=NAME    the client's name in logs; the default is 'client'\n"
    "  --model=MODEL  a model that it may use; '*' at the end stands for any text, and is\n"
    "                 the default\n";

int Fail(std::string_view why) {
  fmt::print(stderr, "penstock token: {}; `penstock token --help` says more\n", why);
  return 1;
}

}  // namespace

int TokenCommand(std::span<const std::string> arguments) {
  if (arguments.empty()) return Fail("say `penstock token new`");
  if (arguments[0] == "--help" || arguments[0] == "-h") {
    fmt::print("{}", kHelp);
    return 0;
  }
  if (arguments[0] != "new") return Fail(fmt::format("unknown argument '{}'", arguments[0]));
  constexpr std::string_view kName = "--name=", kModel = "--model=";
  std::string_view name = "client", model = "*";
  for (const std::string_view argument : arguments.subspan(1)) {
    if (argument == "--help" || argument == "-h") {
      fmt::print("{}", kHelp);
      return 0;
    }
    if (argument.starts_with(kName)) {
      name = argument.substr(kName.size());
    } else if (argument.starts_with(kModel)) {
      model = argument.substr(kModel.size());
    } else {
      return Fail(fmt::format("unknown argument '{}'", argument));
    }
  }
  const std::string token = access::NewToken();
  const std::string line = TokenFileLines(name, token, model);
  // A wrong name or pattern must show now, not when the server reads the file.
  if (const auto table = ParseTokenFile(line, "the new line"); !table.ok())
    return Fail(MessageOf(table.status()));
  fmt::print(stderr, "The token, which is shown only now, and the line for --token_file:\n");
  fmt::print("{}\n{}", token, line);
  return 0;
}

}  // namespace penstock
