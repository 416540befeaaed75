// SPDX-License-Identifier: Apache-2.0
// The changes that are in force and wait until they have their effect.
#pragma once

#include <functional>
#include <list>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>

#include "absl/functional/any_invocable.h"
#include "base/clock.h"
#include "base/mutex.h"
#include "base/status.h"
#include "core/manager.h"
#include "models/model_wait.h"

namespace penstock {

// The load of a model on demand that a change has started. Thread-safe.
class DemandedLoad final {
 public:
  // `on_answer` is called, on any thread, when there is an answer.
  explicit DemandedLoad(std::function<void()> on_answer) : on_answer_(std::move(on_answer)) {}

  // Gives the answer, from any thread, once. answer() has none before that.
  void Answer(Status status) EXCLUDES(mutex_);
  std::optional<Status> answer() const EXCLUDES(mutex_);
  // Drops the answer, which nobody wants any more. After this returns, `on_answer` is not running
  // and will not be called.
  void Forget() EXCLUDES(mutex_);
  bool IsWanted() const EXCLUDES(mutex_);

 private:
  mutable Mutex mutex_;
  std::function<void()> on_answer_ GUARDED_BY(mutex_);  // null: forgotten
  std::optional<Status> answer_ GUARDED_BY(mutex_);
};

// One change that waits for its effect. One thread at a time.
struct PendingChange {
  AwaitedModels awaited;
  std::string model;  // the model that was changed; empty: the whole list was
  SteadyTime deadline = kNoDeadline;
  std::function<bool()> is_wanted;  // false after the client has disconnected
  // If not null, the change has its effect when this load is answered, rather than when the models
  // in `awaited` are available.
  std::shared_ptr<DemandedLoad> load;
  // Gets OK when the change has its effect, or the reason why it has none. Called once. It may add
  // further pending changes.
  absl::AnyInvocable<void(Status)> done;
};

// All pending changes. It has no thread: the owner calls AnswerSettled after each event of the
// manager, and from time to time. One thread at a time. `manager` must outlive it.
class PendingChanges final {
 public:
  explicit PendingChanges(core::Manager& manager) : manager_(manager) {}

  // Begins to wait. Call it when the change is in force.
  void Add(PendingChange change);

  // Answers the changes that have their effect or cannot have it, those whose deadline has passed
  // (DEADLINE_EXCEEDED), and those whose client has disconnected (CANCELLED). Returns false if it
  // answered none.
  bool AnswerSettled();
  // Answers ABORTED to changes that wait for one of `models`. Call it after another change has
  // removed, moved or unloaded these models.
  void Overtake(const std::set<std::string>& models);
  // Answers every change with `status`, and forgets it.
  void AnswerAll(const Status& status);

  // True if a change of this model is pending. Lists do not count.
  bool HasChangeOf(const std::string& model) const;
  // True if a pending change waits for a version of the model. The model may be ready nevertheless.
  bool AwaitVersionOf(const std::string& model) const;
  size_t size() const { return entries_.size(); }

 private:
  struct Entry {
    PendingChange change;
    ModelWait wait;
    Status outcome;  // set when the change has ended
  };
  using Entries = std::list<Entry>;

  // Returns true, and sets `outcome`, if the change is not pending any more.
  static bool IsSettled(Entry& entry, SteadyTime now);
  // Answers each change with its outcome.
  static void Answer(Entries ended);

  core::Manager& manager_;
  Entries entries_;
};

}  // namespace penstock
