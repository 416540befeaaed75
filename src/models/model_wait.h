// SPDX-License-Identifier: Apache-2.0
// Follows a change that is in force until the models that it wants are available or have failed.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/status.h"
#include "core/manager.h"

namespace penstock {

// The models and versions that a change waits for.
struct AwaitedModels {
  using Labels = std::map<std::string, std::map<std::string, core::VersionNumber>>;  // by model

  std::vector<std::string> names;
  Labels labels;                                      // only those of models in `names` count
  std::map<std::string, core::VersionNumber> pinned;  // by model
  // A model of `names` whose selected versions must all be available or have failed. Empty: none.
  std::string settled = {};
};

// Waits for the effect of one change. Make it when the change is in force: a load that ended before
// does not count until the source has reported the model again. It has no thread and no timer: the
// owner asks for the outcome after each event of the manager.
//
//   ModelWait wait({.names = {"m"}}, manager);
//   ...                                            // after each event, and at the deadline:
//   if (const auto outcome = wait.Outcome(is_late)) Answer(*outcome);
//
// One thread at a time. `manager` must outlive it.
class ModelWait final {
 public:
  ModelWait(AwaitedModels awaited, core::Manager& manager)
      : awaited_(std::move(awaited)), manager_(manager) {}

  // Returns nullopt while the change is under way. It ends when three things are true: each model
  // has a version available or has failed; each label and pin has its version or cannot get it; and
  // each selected version of `settled` is available or has failed. It also ends if the deadline has
  // passed (`is_late`). Returns OK, or the reasons why models are not served. If all models are
  // served, returns the reason why a label or pin has no version.
  std::optional<Status> Outcome(bool is_late);

  // True if the change waits for a version of the model that is still under way.
  bool AwaitsVersionOf(const std::string& name) const {
    return StateOf(name).versions == Progress::kUnderWay;
  }

  const std::vector<std::string>& names() const { return awaited_.names; }

 private:
  enum class Progress { kUnderWay, kServed, kFailed };
  // The progress of one model at one moment.
  struct State {
    Progress model = Progress::kServed;
    Progress versions = Progress::kServed;  // of those that labels and the pin name
    Status reason;                          // why it has failed, or what is under way
  };

  State StateOf(const std::string& name) const;
  bool IsUnderWay(const std::string& name) const;
  // These set `reason` for kFailed.
  static Progress OfModel(const core::ModelStatus& model, Status& reason);
  Progress OfLabels(const std::string& name, const core::ModelStatus& model, Status& reason) const;
  Progress OfPin(const std::string& name, const core::ModelStatus& model, Status& reason) const;
  // kServed if no selected version is under way, even if one has failed.
  static Progress OfSelected(const core::ModelStatus& model);
  static Progress OfVersion(const core::ModelStatus& model, core::VersionNumber number,
                            Status& reason);

  AwaitedModels awaited_;
  core::Manager& manager_;
  size_t under_way_ = 0;  // the position of a name that was under way at the last Outcome
};

}  // namespace penstock
