// SPDX-License-Identifier: Apache-2.0
#include "models/pending_changes.h"

#include <algorithm>
#include <utility>

namespace penstock {
namespace {

// Moves those for which `is_ended` holds out of `entries`, so that `done` may change that list.
template <typename Entries, typename Predicate>
Entries TakeEnded(Entries& entries, const Predicate& is_ended) {
  Entries ended;
  for (auto entry = entries.begin(); entry != entries.end();) {
    const auto next = std::next(entry);
    if (is_ended(*entry)) ended.splice(ended.end(), entries, entry);
    entry = next;
  }
  return ended;
}

}  // namespace

void PendingChanges::Add(PendingChange change) {
  ModelWait wait(std::move(change.awaited), manager_);
  entries_.push_back({std::move(change), std::move(wait), OkStatus()});
}

bool PendingChanges::IsSettled(Entry& entry, SteadyTime now) {
  if (!entry.change.is_wanted()) {
    entry.outcome = absl::CancelledError("the client has gone");
    return true;
  }
  const bool is_settled = entry.wait.IsSettled();
  if (!is_settled && now < entry.change.deadline) return false;
  entry.outcome = entry.wait.WhatIsMissing(/*is_late=*/!is_settled);
  return true;
}

bool PendingChanges::AnswerSettled() {
  const SteadyTime now = Clock::Real().Now();
  auto ended = TakeEnded(entries_, [&](Entry& entry) { return IsSettled(entry, now); });
  for (Entry& entry : ended) entry.change.done(std::move(entry.outcome));
  return !ended.empty();
}

void PendingChanges::Overtake(const std::set<std::string>& models) {
  if (models.empty()) return;
  auto ended = TakeEnded(entries_, [&](Entry& entry) {
    for (const std::string& name : entry.wait.names()) {
      if (!models.contains(name)) continue;
      entry.outcome =
          Error(StatusCode::kAborted,
                "another change has removed, unloaded or moved model {} before it was there", name);
      return true;
    }
    return false;
  });
  for (Entry& entry : ended) entry.change.done(std::move(entry.outcome));
}

void PendingChanges::AnswerAll(const Status& status) {
  for (Entry& entry : std::exchange(entries_, {})) entry.change.done(status);
}

bool PendingChanges::HasChangeOf(const std::string& model) const {
  return std::ranges::any_of(entries_,
                             [&](const Entry& entry) { return entry.change.model == model; });
}

}  // namespace penstock
