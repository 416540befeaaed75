// SPDX-License-Identifier: Apache-2.0
#include "models/ensemble_list.h"

#include <fmt/ranges.h>

#include <algorithm>

namespace penstock {
namespace {

using Models = std::map<std::string_view, const ConfiguredModel*>;

// Walks from an ensemble to the ensembles of its steps. One thread.
class NestingCheck {
 public:
  explicit NestingCheck(const Models& models) : models_(models) {}

  Status Visit(const ConfiguredModel& model) {
    for (const ensemble::Graph& graph : model.ensembles) {
      for (const ensemble::Step& step : graph.steps) {
        trail_.push_back(fmt::format("model '{}' version {}, step '{}'", model.name,
                                     graph.version.value, step.name));
        open_.push_back(model.name);
        TRY(VisitStep(step));
        open_.pop_back();
        trail_.pop_back();
      }
    }
    return OkStatus();
  }

 private:
  Status VisitStep(const ensemble::Step& step) {
    const auto found = models_.find(step.model.name);
    if (found == models_.end())
      return InvalidArgument("{}: there is no model '{}' in the list", Trail(), step.model.name);
    const ConfiguredModel& model = *found->second;
    if (model.load_mode == core::LoadMode::kOnDemand) {
      return InvalidArgument("{}: model '{}' is loaded on demand, which a step cannot be", Trail(),
                             model.name);
    }
    if (model.ensembles.empty()) return OkStatus();
    if (std::ranges::find(open_, model.name) != open_.end())
      return InvalidArgument("{}: ensemble '{}' contains itself", Trail(), model.name);
    if (open_.size() == ensemble::kDepthMax)
      return InvalidArgument("{}: ensembles are nested more than {} deep", Trail(),
                             ensemble::kDepthMax);
    return Visit(model);
  }

  std::string Trail() const { return fmt::format("{}", fmt::join(trail_, " -> ")); }

  const Models& models_;
  std::vector<std::string> trail_;
  std::vector<std::string_view> open_;
};

}  // namespace

Status CheckEnsembles(const std::vector<ConfiguredModel>& models, std::string_view where) {
  Models by_name;
  for (const ConfiguredModel& model : models) by_name.emplace(model.name, &model);
  for (const ConfiguredModel& model : models) {
    const Status status = NestingCheck(by_name).Visit(model);
    if (!status.ok()) return InvalidArgument("{}: {}", where, MessageOf(status));
  }
  return OkStatus();
}

std::map<std::string, std::set<core::VersionNumber>, std::less<>> VersionsOfSteps(
    const std::vector<ConfiguredModel>& models) {
  std::map<std::string, std::set<core::VersionNumber>, std::less<>> versions;
  for (const ConfiguredModel& model : models) {
    for (const ensemble::Graph& graph : model.ensembles) {
      for (const ensemble::Step& step : graph.steps) {
        if (step.model.version) versions[step.model.name].insert(*step.model.version);
      }
    }
  }
  return versions;
}

std::map<core::VersionNumber, core::ComposedVersion> ComposedVersions(
    const ConfiguredModel& model) {
  std::map<core::VersionNumber, core::ComposedVersion> versions;
  for (const ensemble::Graph& graph : model.ensembles) {
    core::ComposedVersion& version = versions[graph.version];
    version.revision = RevisionOf(graph);
    for (const ensemble::Step& step : graph.steps) {
      version.parts.push_back({.used_by = fmt::format("step '{}'", step.name),
                               .model = step.model.name,
                               .version = step.model.version,
                               .label = step.model.label});
    }
  }
  if (IsFollowed(model.remotes)) return versions;
  for (const RemoteVersion& remote : model.remotes)
    versions[remote.version].revision = RevisionOf(remote);
  return versions;
}

}  // namespace penstock
