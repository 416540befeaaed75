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
  const bool is_withheld =
      result.wanted.empty() &&
      (!result.incomplete.empty() || (keeps_last_versions_ && !model.versions.empty()));
  // First, so that a request that the other reports answer gets the reason.
  if (result.can_list) ReportIncomplete(name, model, ticket.generation, result.incomplete);
  if (!result.status.ok()) ReportStatus(name, model, ticket.generation, result.status);
  if (result.can_list && !is_withheld)
    ReportList(name, model, ticket.generation, result, make_loader, before_list);
  if (result.status.ok()) ReportStatus(name, model, ticket.generation, result.status);
  if (ticket.change == model.current.change) return;
  // The result does not answer the configuration in force, so the next scan must report again.
  model.answers = false;
  model.repeats_error = true;
  model.repeats_incomplete = true;
}

void VersionReporter::ReportIncomplete(const std::string& name, Model& model, uint64_t generation,
                                       const IncompleteVersions& versions) {
  const bool is_repeated = std::exchange(model.repeats_incomplete, false) && !versions.empty();
  if (versions == model.incomplete && !is_repeated) return;
  model.incomplete = versions;
  target_.SetIncomplete(name, versions, generation);
}

void VersionReporter::ReportList(const std::string& name, Model& model, uint64_t generation,
                                 const ScanResult& result, const MakeLoader& make_loader,
                                 const std::function<void()>& before_list) {
  model.has_listed = true;
  if (model.answers && result.wanted == model.versions) return;
  model.answers = true;
  model.versions = result.wanted;
  if (before_list) before_list();
  std::vector<AspiredVersion> versions;
  for (const auto& [version, found] : model.versions)
    versions.push_back({version, make_loader(version, found), found.revision, found.role});
  target_.SetAspired(name, std::move(versions), generation);
}

void VersionReporter::ReportStatus(const std::string& name, Model& model, uint64_t generation,
                                   const Status& status) {
  const bool is_repeated = std::exchange(model.repeats_error, false) && !status.ok();
  if (status == model.status && !is_repeated) return;
  model.status = status;
  target_.SetSourceStatus(name, status, generation);
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
