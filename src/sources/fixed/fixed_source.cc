// SPDX-License-Identifier: Apache-2.0
#include "sources/fixed/fixed_source.h"

#include <utility>

namespace penstock {
namespace {

constexpr core::VersionNumber kOnlyVersion{1};

}  // namespace

FixedSource::FixedSource(std::string_view kind, bool (*matches)(std::string_view),
                         core::LoaderFactory make_loader)
    : kind_(kind), matches_(matches), make_loader_(std::move(make_loader)) {}

void FixedSource::Start(core::AspiredTarget& target) {
  MutexLock lock(mutex_);
  reporter_.emplace(target, /*keeps_last_versions=*/false);
  Report();
}

void FixedSource::Stop() {
  MutexLock lock(mutex_);
  reporter_.reset();
}

Status FixedSource::Check(const std::vector<core::SourceModel>& models) {
  return core::CheckSourceModels(models);
}

Status FixedSource::SetModels(std::vector<core::SourceModel> models) {
  TRY(Check(models));
  MutexLock lock(mutex_);
  models_ = std::move(models);
  if (reporter_) Report();
  return OkStatus();
}

void FixedSource::Report() {
  reporter_->SetModels(models_);
  for (const core::SourceModel& model : models_) {
    core::ScanResult result;
    result.wanted[kOnlyVersion] = {.path = model.base_path};
    reporter_->Report(model.name, reporter_->BeginScan(model.name), result,
                      [&](core::VersionNumber version, const core::FoundVersion& found) {
                        return make_loader_({model.name, version}, found.path);
                      });
  }
}

std::optional<bool> FixedSource::HasVersion(const std::string&, const std::string&,
                                            core::VersionNumber version) const {
  return version == kOnlyVersion;
}

StatusOr<std::map<core::VersionNumber, std::string>> FixedSource::ListVersions(
    const std::string& base_path) const {
  return std::map<core::VersionNumber, std::string>{{kOnlyVersion, base_path}};
}

}  // namespace penstock
