// SPDX-License-Identifier: Apache-2.0
// How far a change of the models has come: whether what was asked for is available, or cannot be.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/status.h"
#include "core/manager.h"

namespace penstock {

// What a change asked for.
struct AwaitedModels {
  using Labels = std::map<std::string, std::map<std::string, core::VersionNumber>>;  // by model

  std::vector<std::string> names;
  Labels labels;                                      // those of other models do not count
  std::map<std::string, core::VersionNumber> pinned;  // by model
  // A model of `names` of which each selected version is available, or cannot be; empty: none.
  std::string settled = {};
};

// Begins when the change is in force: how loads ended before it is no answer where the source has
// not told of the model since. One thread at a time. `manager` outlives it.
class ModelWait final {
 public:
  ModelWait(AwaitedModels awaited, core::Manager& manager)
      : awaited_(std::move(awaited)), manager_(manager) {}

  // Has one once each model has a version available, and each label and pin its version, or cannot,
  // and the selected versions of `settled` are available or have failed; and if time is up
  // (`is_late`). OK, or why models are not served, or else why labels and pins are not.
  std::optional<Status> Outcome(bool is_late);

  // True if a version of the model that it waits for is under way.
  bool AwaitsVersionOf(const std::string& name) const {
    return LookAt(name).versions == Progress::kUnderWay;
  }

  const std::vector<std::string>& names() const { return awaited_.names; }

 private:
  enum class Progress { kUnderWay, kServed, kFailed };
  // What one look at a model said.
  struct Look {
    Progress model = Progress::kServed;
    Progress versions = Progress::kServed;  // that labels and the pin name
    Status reason;                          // of what has failed, or is under way
  };

  Look LookAt(const std::string& name) const;
  bool IsUnderWay(const std::string& name) const;
  // These set `reason` for kFailed.
  static Progress OfModel(const core::ModelOutlook& model, Status& reason);
  Progress OfLabels(const std::string& name, const core::ModelOutlook& model, Status& reason) const;
  Progress OfPin(const std::string& name, const core::ModelOutlook& model, Status& reason) const;
  // kServed once no selected version is under way, also if one has failed.
  static Progress OfSelected(const core::ModelOutlook& model);
  static Progress OfVersion(const core::ModelOutlook& model, core::VersionNumber number,
                            Status& reason);

  AwaitedModels awaited_;
  core::Manager& manager_;
  size_t under_way_ = 0;  // the position of the name that was when Outcome looked last
};

}  // namespace penstock
