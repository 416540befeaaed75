// SPDX-License-Identifier: Apache-2.0
// A source of models that have a single version, which is known from the start, such as the
// built-in ones.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/mutex.h"
#include "base/status.h"
#include "core/model_source.h"
#include "core/version_reporter.h"

namespace penstock {

// Reports version 1 of each of its models. It is the smallest source: read it first to write
// another one. It has no thread: Start and SetModels report on the caller's thread.
//
//   FixedSource source("a built-in model", IsBuiltin, make_loader);
//   source.Start(manager);
//   TRY(source.SetModels({{.name = "echo", .base_path = "builtin:identity"}}));
//
// Thread-safe.
class FixedSource final : public core::ModelSource {
 public:
  // `kind` and `matches`: as in ModelSource. `make_loader` gets the base path.
  FixedSource(std::string_view kind, bool (*matches)(std::string_view base_path),
              core::LoaderFactory make_loader);

  void Start(core::AspiredTarget& target) override EXCLUDES(mutex_);
  void Stop() override EXCLUDES(mutex_);

  std::string_view kind() const override { return kind_; }
  bool Matches(std::string_view base_path) const override { return matches_(base_path); }
  Status Check(const std::vector<core::SourceModel>& models) override;
  Status SetModels(std::vector<core::SourceModel> models) override EXCLUDES(mutex_);
  std::optional<bool> HasVersion(const std::string& model, const std::string& base_path,
                                 core::VersionNumber version) const override;
  StatusOr<std::map<core::VersionNumber, std::string>> ListVersions(
      const std::string& base_path) const override;
  std::string WhyIncomplete(const std::string&) const override { return ""; }

 private:
  // Reports the list of all models to the target, through the reporter, which drops what is not
  // new.
  void Report() REQUIRES(mutex_);

  const std::string_view kind_;
  bool (*const matches_)(std::string_view);
  const core::LoaderFactory make_loader_;

  Mutex mutex_;  // held during reports, so that Stop waits for them
  std::vector<core::SourceModel> models_ GUARDED_BY(mutex_);
  std::optional<core::VersionReporter> reporter_ GUARDED_BY(mutex_);  // empty unless started
};

}  // namespace penstock
