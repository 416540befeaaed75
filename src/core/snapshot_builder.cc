// SPDX-License-Identifier: Apache-2.0
#include "core/snapshot_builder.h"

namespace penstock::core {

void SnapshotBuilder::Set(const std::string& name, std::shared_ptr<const Snapshot::Model> model) {
  is_changed_ = true;
  // The counts change by the new model minus the old one, so no other model is visited.
  if (const auto* const old = models_.find(name); old != models_.end()) Count(*old->second, -1);
  if (model == nullptr) return models_.erase(name);
  Count(*model, 1);
  models_.insert_or_assign(name, std::move(model));
}

void SnapshotBuilder::Stop() {
  is_stopped_ = true;
  is_changed_ = true;
}

void SnapshotBuilder::Count(const Snapshot::Model& model, int change) {
  const auto by = static_cast<size_t>(change);  // -1 wraps around, and so does the sum
  if (model.counts_as_ready) ready_ += by;
  if (model.counts_as_ready || !model.is_expected) return;
  missing_ += by;
  if (model.is_established()) missing_established_ += by;
}

std::unique_ptr<const Snapshot> SnapshotBuilder::Build() {
  if (!std::exchange(is_changed_, false)) return nullptr;
  auto next = std::make_unique<Snapshot>();
  next->models = models_;
  next->is_ready = !is_stopped_ && IsReadyByRule();
  is_start_over_ |= next->is_ready && ready_ + missing_ > 0;
  return next;
}

bool SnapshotBuilder::IsReadyByRule() const {
  switch (rule_.kind) {
    case ReadinessRule::Kind::kAllModels:
      return missing_established_ == 0;
    case ReadinessRule::Kind::kEveryModel:
      return missing_ == 0;
    case ReadinessRule::Kind::kAnyModel:
      // A server that is to have no models is ready, or else it never could be.
      return models_.empty() || ready_ > 0;
    case ReadinessRule::Kind::kNamedModels:
      for (const std::string& name : rule_.models) {
        const auto* const found = models_.find(name);
        if (found == models_.end() || !found->second->counts_as_ready) return false;
      }
      return true;
  }
  return false;
}

}  // namespace penstock::core
