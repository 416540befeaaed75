// SPDX-License-Identifier: Apache-2.0
#include "sources/fixed/fixed_source.h"

#include <map>
#include <string>
#include <utility>

namespace penstock {

FixedSource::FixedSource(std::vector<FixedVersion> versions) : versions_(std::move(versions)) {}

void FixedSource::Start(core::AspiredTarget& target) {
  MutexLock lock(mutex_);
  target_ = &target;
  Tell();
}

void FixedSource::Stop() {
  MutexLock lock(mutex_);
  target_ = nullptr;
}

void FixedSource::SetVersions(std::vector<FixedVersion> versions) {
  MutexLock lock(mutex_);
  std::map<std::string, bool> still_there;
  for (const FixedVersion& version : versions_) still_there[version.id.name] = false;
  for (const FixedVersion& version : versions) still_there[version.id.name] = true;
  versions_ = std::move(versions);
  if (target_ == nullptr) return;
  for (const auto& [model, is_there] : still_there) {
    if (!is_there) target_->SetAspired(model, {});
  }
  Tell();
}

void FixedSource::Tell() {
  if (target_ == nullptr) return;
  std::map<std::string, std::vector<core::AspiredVersion>> lists;
  for (const FixedVersion& version : versions_) {
    lists[version.id.name].push_back({version.id.version, version.make_loader()});
  }
  for (auto& [model, list] : lists) target_->SetAspired(model, std::move(list));
}

}  // namespace penstock
