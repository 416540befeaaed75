// SPDX-License-Identifier: Apache-2.0
#include "models/initial_load.h"

#include <algorithm>
#include <utility>

#include "base/log.h"

namespace penstock {

void InitialLoad::Start(std::vector<std::string> names) {
  {
    MutexLock lock(mutex_);
    wait_.emplace(AwaitedModels{.names = std::move(names), .labels = {}, .pinned = {}}, manager_);
  }
  // Listen first, then look: a model that is ready in between causes an event.
  listener_ = manager_.AddListener([this](const core::ManagerEvent&) { CheckIfOver(); });
  CheckIfOver();
}

void InitialLoad::Stop() {
  if (const int listener = std::exchange(listener_, 0); listener != 0)
    manager_.RemoveListener(listener);
}

void InitialLoad::CheckIfOver() {
  std::optional<Status> outcome;
  {
    MutexLock lock(mutex_);
    if (wait_) outcome = Outcome();
    if (outcome) wait_.reset();
  }
  // Called without the lock, because it opens the ports and may take long. It is called once: only
  // one thread finds `wait_` set.
  if (outcome) on_end_(*outcome);
}

std::optional<Status> InitialLoad::Outcome() {
  std::optional<Status> outcome = wait_->Outcome(/*is_late=*/false);
  if (!outcome || outcome->ok() || IsAnyServed(wait_->names())) return outcome;
  if (!std::exchange(has_warned_, true))
    PENSTOCK_LOG(kError, "no model is served, so the ports stay closed until one is: {}",
                 MessageOf(*outcome));
  return std::nullopt;
}

bool InitialLoad::IsAnyServed(const std::vector<std::string>& names) const {
  return std::ranges::any_of(names, [this](const std::string& name) {
    // A model that nothing is expected to load, such as one with the load mode NEVER, is as good as
    // served.
    return !manager_.IsModelExpected(name) || manager_.IsModelReady(name).value_or(false);
  });
}

}  // namespace penstock
