// SPDX-License-Identifier: Apache-2.0
#include "core/version_reporter.h"

#include <set>
#include <utility>

namespace penstock::core {

std::vector<std::string> VersionReporter::SetModels(const std::vector<SourceModel>& models) {
  ++changes_;
  std::vector<std::string> restarted;
  std::set<std::string_view> names;
  for (const SourceModel& model : models) names.insert(model.name);
  std::erase_if(models_, [&](const auto& item) {
    if (names.contains(item.first)) return false;
    target_.SetAspired(item.first, {}, item.second.current.generation);
    restarted.push_back(item.first);
    return true;
  });
  for (const SourceModel& from : models) {
    Model& model = models_[from.name];
    if (model.base_path != from.base_path) {
      if (!model.base_path.empty()) restarted.push_back(from.name);
      // Keep the status: if it is an error, the first good scan of the new path must clear it.
      model = Model{.base_path = from.base_path,
                    .current = {},
                    .versions = {},
                    .status = std::move(model.status),
                    .incomplete = {}};
    }
    model.current = {changes_, from.generation};
    model.answers = false;
    model.repeats_error = true;
    model.repeats_incomplete = true;
  }
  return restarted;
}

VersionReporter::Ticket VersionReporter::BeginScan(const std::string& model) const {
  return models_.at(model).current;
}

void VersionReporter::Report(const std::string& name, const Ticket& ticket,
                             const ScanResult& result, const MakeLoader& make_loader,
                             const std::function<void()>& before_list) {
  const auto found = models_.find(name);
  if (found == models_.end()) return;
  Model& model = found->second;
  // An empty list unloads everything. So it is held back while it may be only half of the truth.
  const bool is_withheld =
      result.wanted.empty() &&
      (!result.incomplete.empty() || (keeps_last_versions_ && !model.versions.empty()));
  SourceReport report;
  report.status = NewStatus(model, result.status);
  if (result.can_list) report.incomplete = NewIncomplete(model, result.incomplete);
  if (result.can_list && !is_withheld)
    report.versions = NewVersions(model, result.wanted, make_loader, before_list);
  if (report.status || report.incomplete || report.versions)
    target_.Report(name, std::move(report), ticket.generation);
  if (ticket.change == model.current.change) return;
  // The result does not answer the configuration in force, so the next scan must report again.
  model.answers = false;
  model.repeats_error = true;
  model.repeats_incomplete = true;
}

std::optional<IncompleteVersions> VersionReporter::NewIncomplete(
    Model& model, const IncompleteVersions& versions) {
  const bool is_repeated = std::exchange(model.repeats_incomplete, false) && !versions.empty();
  if (versions == model.incomplete && !is_repeated) return std::nullopt;
  model.incomplete = versions;
  return versions;
}

std::optional<std::vector<AspiredVersion>> VersionReporter::NewVersions(
    Model& model, const FoundVersions& wanted, const MakeLoader& make_loader,
    const std::function<void()>& before_list) {
  model.has_listed = true;
  if (model.answers && wanted == model.versions) return std::nullopt;
  model.answers = true;
  model.versions = wanted;
  if (before_list) before_list();
  std::vector<AspiredVersion> versions;
  for (const auto& [version, found] : model.versions)
    versions.push_back({version, make_loader(version, found), found.revision, found.role});
  return versions;
}

std::optional<Status> VersionReporter::NewStatus(Model& model, const Status& status) {
  const bool is_repeated = std::exchange(model.repeats_error, false) && !status.ok();
  if (status == model.status && !is_repeated) return std::nullopt;
  model.status = status;
  return status;
}

const FoundVersions& VersionReporter::versions(const std::string& model) const {
  static const FoundVersions kNone;
  const auto found = models_.find(model);
  return found == models_.end() ? kNone : found->second.versions;
}

bool VersionReporter::HasListed(const std::string& model) const {
  const auto found = models_.find(model);
  return found != models_.end() && found->second.has_listed;
}

}  // namespace penstock::core
