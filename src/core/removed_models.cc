// SPDX-License-Identifier: Apache-2.0
#include "core/removed_models.h"

#include <algorithm>
#include <utility>

namespace penstock::core {

void RemovedModels::Add(const std::string& name, std::vector<VersionStatus> versions,
                        SteadyTime now) {
  if (versions.empty() || models_max_ == 0) return;
  if (models_.size() >= models_max_ && !models_.contains(name)) {
    models_.erase(std::min_element(models_.begin(), models_.end(), [](auto& a, auto& b) {
      return a.second.since < b.second.since;
    }));
  }
  models_.insert_or_assign(name, Removed{std::move(versions), now});
}

void RemovedModels::Erase(std::string_view name) {
  if (const auto found = models_.find(name); found != models_.end()) models_.erase(found);
}

std::vector<VersionStatus> RemovedModels::Find(std::string_view name, SteadyTime now) const {
  const auto found = models_.find(name);
  if (found == models_.end() || now - found->second.since >= time_) return {};
  return found->second.versions;
}

}  // namespace penstock::core
