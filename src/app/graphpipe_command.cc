// SPDX-License-Identifier: Apache-2.0
// `penstock graphpipe`: serves one model in place of graphpipe-tf or graphpipe-onnx.
#include <fmt/format.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "app/builtins.h"
#include "app/commands.h"
#include "app/staged_model.h"
#include "options/graphpipe_flags.h"

namespace penstock {
namespace {

GraphPipeVariables GraphPipeEnvironment() {
  GraphPipeVariables environment;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const std::string_view text = *entry;
    const size_t equals = text.find('=');
    if (equals == std::string_view::npos) continue;
    const std::string_view name = text.substr(0, equals);
    if (name == "HOME" || name.starts_with("GP_"))
      environment.emplace(name, text.substr(equals + 1));
  }
  return environment;
}

std::string TemporaryFolder() {
  const char* const folder = std::getenv("TMPDIR");
  return folder != nullptr && *folder != '\0' ? folder : "/tmp";
}

int FailGraphPipe(const Status& status) {
  fmt::print(stderr, "penstock graphpipe: {}\n", MessageOf(status));
  return 1;
}

}  // namespace

int GraphPipeCommand(std::span<const std::string> arguments) {
  const StatusOr<GraphPipeFlags> flags =
      ParseGraphPipeFlags(arguments, GraphPipeEnvironment(), AllOptions());
  if (!flags.ok()) return FailGraphPipe(flags.status());
  if (flags->help) {
    fmt::print("{}", GraphPipeUsage());
    return 0;
  }
  if (flags->version) return VersionCommand({});
  // Before a download, which may take long.
  if (const auto checked = ServeFlagsFor(*flags, ""); !checked.ok())
    return FailGraphPipe(checked.status());
  const StatusOr<std::unique_ptr<StagedModel>> model = StagedModel::Make(*flags, TemporaryFolder());
  if (!model.ok()) return FailGraphPipe(model.status());
  const StatusOr<std::vector<std::string>> serve = ServeFlagsFor(*flags, (*model)->config_file());
  if (!serve.ok()) return FailGraphPipe(serve.status());
  std::vector<std::string> warnings = flags->warnings;
  warnings.insert(warnings.end(), (*model)->warnings().begin(), (*model)->warnings().end());
  return ServeWithWarnings(*serve, std::move(warnings));
}

}  // namespace penstock
