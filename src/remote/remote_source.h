// SPDX-License-Identifier: Apache-2.0
// The source of remote models.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "base/mutex.h"
#include "core/model_source.h"
#include "core/version_reporter.h"
#include "remote/version_watch.h"

namespace penstock::remote {

// Reports the versions that the configuration declares (SourceModel::composed), which are there at
// once, or those that the targets have, by the model's VersionWatch. It reports on a thread of its
// own, which exists while there are models. Thread-safe.
class RemoteSource final : public core::ModelSource {
 public:
  // `watches` may be null if it is never started. It must outlive Stop.
  RemoteSource(VersionWatches* watches, core::LoaderFactory make_loader)
      : watches_(watches), make_loader_(std::move(make_loader)) {}
  ~RemoteSource() override { Stop(); }

  void Start(core::AspiredTarget& target) override EXCLUDES(mutex_);
  void Stop() override EXCLUDES(mutex_);

  std::string_view kind() const override { return "a remote model"; }
  bool Matches(std::string_view base_path) const override;
  Status Check(const std::vector<core::SourceModel>& models) override;
  Status SetModels(std::vector<core::SourceModel> models) override EXCLUDES(mutex_);
  std::optional<bool> HasVersion(const std::string& model, const std::string& base_path,
                                 core::VersionNumber version) const override EXCLUDES(mutex_);
  StatusOr<std::map<core::VersionNumber, std::string>> ListVersions(
      const std::string& base_path) const override;
  std::string WhyIncomplete(const std::string&) const override { return ""; }

 private:
  using List = std::vector<core::SourceModel>;

  void StartThread() REQUIRES(mutex_);
  void Run() EXCLUDES(mutex_);
  void Report(const core::SourceModel& model);
  // nullopt: too little is known yet.
  std::optional<core::ScanResult> Scan(const core::SourceModel& model) const;

  VersionWatches* const watches_;
  const core::LoaderFactory make_loader_;

  std::optional<core::VersionReporter> reporter_;  // of the thread

  mutable Mutex mutex_;  // not held during reports
  CondVar wake_;
  std::shared_ptr<const List> models_ GUARDED_BY(mutex_) = std::make_shared<List>();
  std::set<std::string> changed_ GUARDED_BY(mutex_);  // models that shall be reported
  bool is_new_list_ GUARDED_BY(mutex_) = false;
  bool is_started_ GUARDED_BY(mutex_) = false;
  bool is_stopped_ GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

}  // namespace penstock::remote
