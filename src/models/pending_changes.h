// SPDX-License-Identifier: Apache-2.0
// The changes of the models that are in force and wait for their effect.
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

// The load of a model that is loaded on demand, for a change. Thread-safe.
class DemandedLoad final {
 public:
  // `on_answer` is called once there is an answer, on any thread.
  explicit DemandedLoad(std::function<void()> on_answer) : on_answer_(std::move(on_answer)) {}

  void Answer(Status status) EXCLUDES(mutex_);
  std::optional<Status> answer() const EXCLUDES(mutex_);
  // Nobody wants the answer any more. After the return `on_answer` is not running and will not run.
  void Forget() EXCLUDES(mutex_);
  bool IsWanted() const EXCLUDES(mutex_);

 private:
  mutable Mutex mutex_;
  std::function<void()> on_answer_ GUARDED_BY(mutex_);  // null: forgotten
  std::optional<Status> answer_ GUARDED_BY(mutex_);
};

// One of them. One thread at a time.
struct PendingChange {
  AwaitedModels awaited;
  std::string model;  // what it has changed; empty: a whole list
  SteadyTime deadline = kNoDeadline;
  std::function<bool()> is_wanted;  // false once the client has gone
  // Has its effect when this is answered, rather than when the manager has `awaited`; or null.
  std::shared_ptr<DemandedLoad> load;
  // Gets OK once all is as asked for, or why it is not. Called once; may add further ones.
  absl::AnyInvocable<void(Status)> done;
};

// Any number of them, without a thread: its owner looks at them after the manager's events, and
// now and then. One thread at a time. `manager` outlives it.
class PendingChanges final {
 public:
  explicit PendingChanges(core::Manager& manager) : manager_(manager) {}

  void Add(PendingChange change);

  // Answers those that have what they want or cannot get it, those whose time is up
  // (DEADLINE_EXCEEDED), and those whose client has gone (CANCELLED). False if there are none.
  bool AnswerSettled();
  // Answers ABORTED to those that wait for one of `models`, which another change has taken away.
  void Overtake(const std::set<std::string>& models);
  void AnswerAll(const Status& status);

  // True if a change of this one model is among them.
  bool HasChangeOf(const std::string& model) const;
  // True if one of them waits for a version of the model, though the model may be ready.
  bool AwaitVersionOf(const std::string& model) const;
  size_t size() const { return entries_.size(); }

 private:
  struct Entry {
    PendingChange change;
    ModelWait wait;
    Status outcome;  // once it has one
  };
  using Entries = std::list<Entry>;

  // True, and `outcome` set, if it is not pending any more.
  static bool IsSettled(Entry& entry, SteadyTime now);
  // Tells each its outcome.
  static void Answer(Entries ended);

  core::Manager& manager_;
  Entries entries_;
};

}  // namespace penstock
