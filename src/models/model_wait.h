// SPDX-License-Identifier: Apache-2.0
// How far a change of the models has come: whether what was asked for is available, or cannot be.
#pragma once

#include <chrono>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "base/status.h"
#include "core/manager.h"

namespace penstock {

// What a change asked for.
struct AwaitedModels {
  std::vector<std::string> names;
  // Those of them that are new or have moved: what was known of them before `since` says nothing.
  std::set<std::string> moved;
  std::map<std::string, std::map<std::string, core::VersionNumber>> labels;  // by model
  std::map<std::string, core::VersionNumber> pinned;                         // by model
  std::chrono::system_clock::time_point since;
};

// One thread at a time. `manager` outlives it.
class ModelWait final {
 public:
  ModelWait(AwaitedModels awaited, core::Manager& manager)
      : awaited_(std::move(awaited)), manager_(manager) {}

  // True once each model has a version available, and each label and pin its version, or cannot.
  bool IsSettled();
  // Why the models that are not served are not, and else why labels and pins are not; OK: all are.
  // `is_late`: time is up.
  Status WhatIsMissing(bool is_late) const;

  const std::vector<std::string>& names() const { return awaited_.names; }

 private:
  enum class Progress { kUnderWay, kServed, kFailed };

  bool IsUnderWay(const std::string& name) const;
  // These set `reason` for kFailed.
  Progress OfModel(const std::string& name, Status& reason) const;
  Progress OfLabels(const std::string& name, Status& reason) const;
  Progress OfPin(const std::string& name, Status& reason) const;
  Progress OfVersion(const std::string& name, core::VersionNumber number, bool is_coming,
                     Status& reason) const;

  AwaitedModels awaited_;
  core::Manager& manager_;
  size_t under_way_ = 0;  // the position of the name that was when IsSettled looked last
};

}  // namespace penstock
