// SPDX-License-Identifier: Apache-2.0
// The models that were removed lately, so that clients can still ask what became of their versions.
#pragma once

#include <cstddef>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "core/model_status.h"

namespace penstock::core {

// Lists at most `models_max` models, each for `time`. No timer removes the old ones: they are not
// found any more, and go when the list is full. One thread at a time (the manager's mutex).
class RemovedModels final {
 public:
  RemovedModels(size_t models_max, Duration time) : models_max_(models_max), time_(time) {}

  // If the list is full, drops the model that was removed first.
  void Add(const std::string& name, std::vector<VersionStatus> versions, SteadyTime now);
  // A model of this name was added again, so its own versions count.
  void Erase(std::string_view name);
  // Returns the versions of the model; empty if it is not listed any more.
  std::vector<VersionStatus> Find(std::string_view name, SteadyTime now) const;

 private:
  struct Removed {
    std::vector<VersionStatus> versions;
    SteadyTime since;
  };

  const size_t models_max_;
  const Duration time_;
  std::map<std::string, Removed, std::less<>> models_;
};

}  // namespace penstock::core
