// SPDX-License-Identifier: Apache-2.0
#include "config/example_config.h"

#include <algorithm>
#include <filesystem>
#include <set>
#include <string_view>

#include "penstock/model_options.pb.h"

namespace penstock {
namespace {

// Reads what both messages have. `setting` is for messages.
template <typename From>
StatusOr<ExampleOptions> ReadCommon(const From& from, std::string_view setting) {
  ExampleOptions options;
  options.signature = from.signature();
  options.examples = from.examples();
  std::set<std::string_view> inputs;
  for (const auto& each : from.feature()) {
    if (each.input().empty())
      return InvalidArgument("has {} with a feature without input", setting);
    if (!inputs.insert(each.input()).second) {
      return InvalidArgument("has {} with two features for the input '{}'", setting, each.input());
    }
    options.features.push_back(
        {each.input(), each.name(), {each.default_value().begin(), each.default_value().end()}});
  }
  if (!options.examples.empty() && !options.features.empty()) {
    return InvalidArgument("has {} with both examples and features; one of them must go", setting);
  }
  return options;
}

// A path that leaves the folder of the version could show clients any file of the host.
Status CheckLabelsFile(const std::string& file) {
  const std::filesystem::path path(file);
  const bool leaves = path.is_absolute() || std::ranges::find(path, "..") != path.end();
  if (!leaves) return OkStatus();
  return InvalidArgument(
      "has classify with the labels_file '{}', which must lie in the folder of "
      "the version",
      file);
}

StatusOr<ExampleOptions> ReadClassify(const config::Classify& from) {
  ASSIGN_OR_RETURN(ExampleOptions options, ReadCommon(from, "classify"));
  options.method = ExampleMethod::kClassify;
  options.scores = from.scores();
  options.classes = from.classes();
  options.labels.assign(from.label().begin(), from.label().end());
  options.labels_file = from.labels_file();
  if (!options.labels.empty() && !options.labels_file.empty()) {
    return InvalidArgument("has classify with both label and labels_file; name one of them");
  }
  TRY(CheckLabelsFile(options.labels_file));
  return options;
}

}  // namespace

StatusOr<std::vector<ExampleOptions>> ReadExampleOptions(const config::ModelOptions& options) {
  std::vector<ExampleOptions> read;
  for (const auto& each : options.classify()) {
    ASSIGN_OR_RETURN(read.emplace_back(), ReadClassify(each));
  }
  for (const auto& each : options.regress()) {
    ASSIGN_OR_RETURN(ExampleOptions regress, ReadCommon(each, "regress"));
    regress.method = ExampleMethod::kRegress;
    regress.values = each.values();
    read.push_back(std::move(regress));
  }
  // An empty name and "serving_default" mean the same signature.
  std::set<std::pair<ExampleMethod, std::string>> signatures;
  for (const ExampleOptions& each : read) {
    const std::string name =
        each.signature.empty() ? std::string(kDefaultSignatureName) : each.signature;
    if (signatures.emplace(each.method, name).second) continue;
    return InvalidArgument("has {} twice for the signature '{}'",
                           each.method == ExampleMethod::kClassify ? "classify" : "regress", name);
  }
  return read;
}

}  // namespace penstock
