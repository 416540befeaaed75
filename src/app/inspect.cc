// SPDX-License-Identifier: Apache-2.0
// `penstock inspect`: loads one model and prints its description.
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <optional>
#include <string_view>

#include "app/builtins.h"
#include "app/commands.h"
#include "app/ensemble_report.h"
#include "app/model_report.h"
#include "models/ensemble_list.h"
#include "options/component_options.h"
#include "options/options.h"

namespace penstock {
namespace {

constexpr std::string_view kUsage = R"(Usage: penstock inspect [flags] FOLDER
       penstock inspect [flags] --model_config_file=FILE MODEL

Describes the model in FOLDER: its backend, its versions, and the names, types and shapes of its
inputs and outputs. FOLDER is a model's folder, whose newest complete version is described, the
folder of one version, or builtin:NAME. The model is loaded for it. Exit code 1 if it cannot be.
With a configuration file, describes a model of its list; of an ensemble also the steps, for which
their models are loaded.

  --json                          one line of JSON
  --dot                           an ensemble as a graph for Graphviz
  --platform=BACKEND              the backend, where the files do not say it
  --saved_model_tags=TAGS         as for serve, like these:
  --backend_directory=FOLDER
  --tensorflow_library=FOLDER
  --tensorflow_op_libraries=PATHS
  --onnxruntime_library=PATH
  --onnxruntime_custom_ops=PATHS
  --log_level=LEVEL               shows what the runtimes print meanwhile; default off
)";

// Flags of serve that also apply to inspect.
constexpr std::array<std::string_view, 8> kServeFlags = {
    "model_config_file",       "saved_model_tags",
    "backend_directory",       "tensorflow_library",
    "tensorflow_op_libraries", "onnxruntime_library",
    "onnxruntime_custom_ops",  "log_level"};

// Discards output to standard error while it exists: runtimes print there before their logs can be
// configured. One thread at a time.
class QuietStderr final {
 public:
  QuietStderr() : kept_(dup(STDERR_FILENO)) {
    const int nowhere = open("/dev/null", O_WRONLY | O_CLOEXEC);
    if (kept_ >= 0 && nowhere >= 0) dup2(nowhere, STDERR_FILENO);
    if (nowhere >= 0) close(nowhere);
  }
  ~QuietStderr() {
    if (kept_ < 0) return;
    dup2(kept_, STDERR_FILENO);
    close(kept_);
  }
  QuietStderr(const QuietStderr&) = delete;
  QuietStderr& operator=(const QuietStderr&) = delete;

 private:
  const int kept_;
};

// The parsed command line.
struct Request {
  std::string path;
  std::string platform;
  bool json = false;
  bool dot = false;
  bool help = false;
  OptionValues values;
};

StatusOr<Request> ParseRequest(std::span<const std::string> arguments) {
  constexpr std::string_view kPlatform = "--platform=";
  Request request;
  std::vector<std::string> flags = {"--log_level=off"};  // a later flag overrides it
  for (const std::string& argument : arguments) {
    if (argument == "--help" || argument == "-h") {
      request.help = true;
      return request;
    }
    if (argument == "--json") {
      request.json = true;
    } else if (argument == "--dot") {
      request.dot = true;
    } else if (argument.starts_with(kPlatform)) {
      request.platform = argument.substr(kPlatform.size());
    } else if (argument.starts_with("-")) {
      const std::string_view name = std::string_view(argument).substr(0, argument.find('='));
      const bool is_known = std::any_of(kServeFlags.begin(), kServeFlags.end(), [&](auto known) {
        return name == fmt::format("--{}", known);
      });
      // A flag without '=' would take the next argument as its value, which may be the folder.
      if (!is_known || name == argument)
        return InvalidArgument(
            "unknown flag {}; `penstock inspect --help` lists them, as "
            "--name=value",
            argument);
      flags.push_back(argument);
    } else if (request.path.empty()) {
      request.path = argument;
    } else {
      return InvalidArgument("one folder at a time, not both {} and {}", request.path, argument);
    }
  }
  if (request.json && request.dot)
    return InvalidArgument("--json and --dot are two forms of the output: give one of them");
  if (request.path.empty())
    return InvalidArgument("which model? Usage: penstock inspect [--json] FOLDER");
  ASSIGN_OR_RETURN(const ParsedOptions options, ParseFlags(AllOptions(), flags));
  request.values = options.values;
  return request;
}

StatusOr<ModelReport> Inspect(const Request& request) {
  const auto& settings = request.values.Get<Settings>();
  ConfigureLog(settings);
  std::optional<QuietStderr> quiet;
  if (settings.log_level == "off") quiet.emplace();
  BackendHostOptions host = MakeBackendOptions(settings);
  host.importers = MakeImporters();
  BackendHost backends(std::move(host));
  LoadOptions load = MakeLoadOptions(settings);
  load.platform = request.platform;
  // They only list versions, and make no loaders.
  const Sources sources = MakeSources(request.values, {settings, nullptr, nullptr});
  if (!settings.model_config_file.empty()) {
    ASSIGN_OR_RETURN(const std::vector<ConfiguredModel> models, ReadModelList(settings));
    TRY(CheckEnsembles(models, settings.model_config_file));
    return InspectConfigured(models, request.path, load, backends, sources);
  }
  return InspectModel(request.path, load, backends, sources);
}

int Fail(const Status& status) {
  fmt::print(stderr, "penstock inspect: {}\n", MessageOf(status));
  return 1;
}

}  // namespace

int InspectCommand(std::span<const std::string> arguments) {
  const StatusOr<Request> request = ParseRequest(arguments);
  if (!request.ok()) return Fail(request.status());
  if (request->help) {
    fmt::print("{}", kUsage);
    return 0;
  }
  const StatusOr<ModelReport> report = Inspect(*request);
  if (!report.ok()) return Fail(report.status());
  if (request->dot && report->dot.empty())
    return Fail(InvalidArgument("--dot draws ensembles, and {} is none", report->path));
  fmt::print("{}", request->dot    ? report->dot
                   : request->json ? ReportJson(*report)
                                   : ReportText(*report));
  return 0;
}

}  // namespace penstock
