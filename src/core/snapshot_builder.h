// SPDX-License-Identifier: Apache-2.0
// Builds the snapshots that requests search (lookup.h), and decides whether the manager is ready.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <utility>

#include "base/persistent_map.h"
#include "core/lookup.h"
#include "core/manager_options.h"

namespace penstock::core {

// Collects the changes to the models until the next Build. A change and a Build cost the same for
// few and for many models: snapshots share what did not change, and the models that are ready or
// missing are only counted. One thread at a time (the manager's mutex).
class SnapshotBuilder final {
 public:
  explicit SnapshotBuilder(ReadinessRule rule) : rule_(std::move(rule)) {}

  // Replaces what requests find for a model. Null: they do not find it any more.
  void Set(const std::string& name, std::shared_ptr<const Snapshot::Model> model);
  // From the next Build on, the manager is not ready.
  void Stop();

  // Returns the next snapshot; null if nothing has changed since the last one.
  [[nodiscard]] std::unique_ptr<const Snapshot> Build();
  // True once models were configured and a snapshot was ready.
  bool is_start_over() const { return is_start_over_; }

 private:
  bool IsReadyByRule() const;
  // Adds `change`, 1 or -1, to the counts that the model belongs to.
  void Count(const Snapshot::Model& model, int change);

  const ReadinessRule rule_;
  PersistentMap<std::shared_ptr<const Snapshot::Model>> models_;
  bool is_changed_ = false;
  bool is_stopped_ = false;
  bool is_start_over_ = false;
  // Models that count as ready, and models that should but do not.
  size_t ready_ = 0;
  size_t missing_ = 0;
  size_t missing_established_ = 0;  // of missing_
};

}  // namespace penstock::core
