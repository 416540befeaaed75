// SPDX-License-Identifier: Apache-2.0
// A source of models whose versions are known from the start, such as the built-in ones.
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

// Reports a list that changes only when it is replaced. It has no thread: Start and SetVersions
// report on the caller's thread. Thread-safe.
class FixedSource final : public core::Source {
 public:
  explicit FixedSource(std::vector<FixedVersion> versions = {});

  void Start(core::AspiredTarget& target) override EXCLUDES(mutex_);
  void Stop() override EXCLUDES(mutex_);

  // Replaces the list. A model that is not in the new list is reported as having no versions.
  void SetVersions(std::vector<FixedVersion> versions) EXCLUDES(mutex_);

 private:
  void Tell() REQUIRES(mutex_);

  Mutex mutex_;  // held during reports, so that Stop waits for them
  std::vector<FixedVersion> versions_ GUARDED_BY(mutex_);
  core::AspiredTarget* target_ GUARDED_BY(mutex_) = nullptr;
};

}  // namespace penstock
