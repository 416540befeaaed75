// SPDX-License-Identifier: Apache-2.0
#include "infer/readiness.h"

#include <utility>

namespace penstock {

Readiness::Readiness(core::Manager& manager) : manager_(manager) {
  manager_listener_ = manager_.AddListener([this](const core::ManagerEvent&) { Notify(); });
}

Readiness::~Readiness() { manager_.RemoveListener(manager_listener_); }

bool Readiness::IsServerReady() const { return !IsDraining() && manager_.IsReady(); }

std::optional<bool> Readiness::IsModelReady(std::string_view model) const {
  const std::optional<bool> is_ready = manager_.CanModelAnswer(model);
  if (!is_ready) return std::nullopt;
  // Load balancers stop sending requests to a server that is not ready. That is what a drain needs.
  return *is_ready && !IsDraining();
}

void Readiness::StartDraining() {
  if (!draining_.exchange(true, std::memory_order_acq_rel)) Notify();
}

int Readiness::AddListener(std::function<void()> listener) {
  MutexLock lock(mutex_);
  listeners_.emplace(next_id_, std::move(listener));
  return next_id_++;
}

void Readiness::RemoveListener(int id) {
  MutexLock lock(mutex_);
  listeners_.erase(id);
}

void Readiness::Notify() {
  MutexLock lock(mutex_);
  for (const auto& [id, listener] : listeners_) listener();
}

}  // namespace penstock
