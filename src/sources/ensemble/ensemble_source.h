// SPDX-License-Identifier: Apache-2.0
// The source of models that are ensembles of other models.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <thread>
#include <tuple>
#include <vector>

#include "base/mutex.h"
#include "base/status.h"
#include "core/manager.h"
#include "core/model_source.h"
#include "core/version_reporter.h"

namespace penstock {

// Reports the versions of SourceModel::composed, each when its parts are ready, which are the
// models of the steps. Follows the events of the manager that has the parts. Thread-safe.
class EnsembleSource final : public core::ModelSource {
 public:
  // `manager` must outlive Stop. Null: the source cannot be started.
  EnsembleSource(core::Manager* manager, core::LoaderFactory make_loader)
      : manager_(manager), make_loader_(std::move(make_loader)) {}
  ~EnsembleSource() override { Stop(); }

  void Start(core::AspiredTarget& target) override EXCLUDES(mutex_);
  void Stop() override EXCLUDES(mutex_);

  std::string_view kind() const override { return "an ensemble"; }
  bool Matches(std::string_view base_path) const override { return base_path == "ensemble:"; }
  Status Check(const std::vector<core::SourceModel>& models) override;
  Status SetModels(std::vector<core::SourceModel> models) override EXCLUDES(mutex_);
  std::optional<bool> HasVersion(const std::string& model, const std::string& base_path,
                                 core::VersionNumber version) const override EXCLUDES(mutex_);
  StatusOr<std::map<core::VersionNumber, std::string>> ListVersions(
      const std::string& base_path) const override;
  std::string WhyIncomplete(const std::string&) const override { return ""; }

 private:
  // A version that has been complete: its model, its number, and what the configuration says of it.
  using Complete = std::tuple<std::string, core::VersionNumber, uint64_t>;
  // What the parts of a version are at the moment.
  struct Readiness {
    std::string missing;     // why it is not complete; empty: it is
    bool is_coming = false;  // it may be complete soon
    uint64_t revision = 0;   // changes with the versions of its parts, too
  };

  using List = std::vector<core::SourceModel>;

  // Reports the models that have changed, on this thread or on the one that reports now.
  void Refresh() EXCLUDES(mutex_);
  // These are used by one thread at a time, the one that reports.
  void TakeList(const List& models);
  void Report(const core::SourceModel& model);
  core::ScanResult Scan(const core::SourceModel& model);
  Readiness ReadinessOf(const core::ComposedVersion& version) const;
  // True if a version of the part is being loaded, or its source has not answered yet.
  bool IsComing(const core::ComposedVersion::Part& part) const;

  core::Manager* const manager_;
  const core::LoaderFactory make_loader_;

  // Used only by the thread that reports, or before Start.
  std::optional<core::VersionReporter> reporter_;
  std::set<Complete> complete_;

  mutable Mutex mutex_;  // not held during reports: they cause events
  CondVar idle_;
  int listener_ GUARDED_BY(mutex_) = 0;  // 0: none
  std::shared_ptr<const List> models_ GUARDED_BY(mutex_) = std::make_shared<List>();
  // The positions in models_ that need a part, by its name.
  std::map<std::string, std::set<size_t>, std::less<>> users_ GUARDED_BY(mutex_);
  std::set<size_t> changed_ GUARDED_BY(mutex_);  // positions that shall be reported
  bool is_new_list_ GUARDED_BY(mutex_) = false;
  bool is_started_ GUARDED_BY(mutex_) = false;
  bool is_stopped_ GUARDED_BY(mutex_) = false;
  bool is_reporting_ GUARDED_BY(mutex_) = false;
  std::thread::id reporting_thread_ GUARDED_BY(mutex_);
};

}  // namespace penstock
