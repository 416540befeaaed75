// SPDX-License-Identifier: Apache-2.0
// A change is answered when it is in effect, which may take as long as a load. This list holds the
// changes that wait for that. Three things end a wait: the models are there or have failed, the
// deadline has passed or the client has gone, or another change has made the wait pointless
// (Overtake). An answer runs the code of the caller, which may add another change; so the entries
// that have ended are moved out of the list before they are answered.
#include "models/pending_changes.h"

#include <algorithm>
#include <utility>

namespace penstock {
namespace {

// Moves the entries that have ended out of `entries`. The caller then calls their `done`, which may
// change `entries`.
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

void DemandedLoad::Answer(Status status) {
  MutexLock lock(mutex_);
  answer_ = std::move(status);
  // Under the lock, so that Forget waits for the call.
  if (on_answer_) on_answer_();
}

std::optional<Status> DemandedLoad::answer() const {
  MutexLock lock(mutex_);
  return answer_;
}

void DemandedLoad::Forget() {
  MutexLock lock(mutex_);
  on_answer_ = nullptr;
}

bool DemandedLoad::IsWanted() const {
  MutexLock lock(mutex_);
  return on_answer_ != nullptr;
}

void PendingChanges::Add(PendingChange change) {
  ModelWait wait(std::move(change.awaited), manager_);
  entries_.push_back({std::move(change), std::move(wait), OkStatus()});
}

bool PendingChanges::IsSettled(Entry& entry, SteadyTime now) {
  if (!entry.change.is_wanted()) {
    entry.outcome = absl::CancelledError("the client has gone");
    return true;
  }
  const PendingChange& change = entry.change;
  // Even after the deadline the outcome is asked for: it says which models are still loading.
  const bool is_late = now >= change.deadline;
  std::optional<Status> outcome =
      change.load == nullptr ? entry.wait.Outcome(is_late) : change.load->answer();
  if (!outcome && is_late) {
    outcome = Error(StatusCode::kDeadlineExceeded,
                    "the deadline passed while model {} was being loaded", change.model);
  }
  if (!outcome) return false;
  entry.outcome = *std::move(outcome);
  return true;
}

bool PendingChanges::AnswerSettled() {
  const SteadyTime now = Clock::Real().Now();
  auto ended = TakeEnded(entries_, [&](Entry& entry) { return IsSettled(entry, now); });
  const bool any = !ended.empty();
  Answer(std::move(ended));
  return any;
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
  Answer(std::move(ended));
}

void PendingChanges::AnswerAll(const Status& status) {
  for (Entry& entry : entries_) entry.outcome = status;
  Answer(std::exchange(entries_, {}));
}

void PendingChanges::Answer(Entries ended) {
  for (Entry& entry : ended) {
    if (entry.change.load != nullptr) entry.change.load->Forget();
    entry.change.done(std::move(entry.outcome));
  }
}

bool PendingChanges::HasChangeOf(const std::string& model) const {
  return std::ranges::any_of(entries_,
                             [&](const Entry& entry) { return entry.change.model == model; });
}

bool PendingChanges::AwaitVersionOf(const std::string& model) const {
  return std::ranges::any_of(entries_,
                             [&](const Entry& entry) { return entry.wait.AwaitsVersionOf(model); });
}

}  // namespace penstock
