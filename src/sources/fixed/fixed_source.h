// SPDX-License-Identifier: Apache-2.0
// Models whose versions are known from the start, as the built-in ones.
#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "base/mutex.h"
#include "base/status.h"
#include "core/source.h"

namespace penstock {

// One version of one model, and how to make its loader.
struct FixedVersion {
  core::ServableId id;
  std::function<StatusOr<std::unique_ptr<core::Loader>>()> make_loader;
};

// Tells the target a list that changes only when it is replaced. Has no thread: tells it in Start
// and SetVersions. Thread-safe.
class FixedSource final : public core::Source {
 public:
  explicit FixedSource(std::vector<FixedVersion> versions = {});

  void Start(core::AspiredTarget& target) override EXCLUDES(mutex_);
  void Stop() override EXCLUDES(mutex_);

  // The complete list. A model that is left out is told to the target as having no versions.
  void SetVersions(std::vector<FixedVersion> versions) EXCLUDES(mutex_);

 private:
  void Tell() REQUIRES(mutex_);

  Mutex mutex_;  // held while the target is told, so that Stop waits for it
  std::vector<FixedVersion> versions_ GUARDED_BY(mutex_);
  core::AspiredTarget* target_ GUARDED_BY(mutex_) = nullptr;
};

}  // namespace penstock
