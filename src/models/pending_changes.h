// SPDX-License-Identifier: Apache-2.0
// The changes of the models that are in force and wait for their effect.
#pragma once

#include <functional>
#include <list>
#include <set>
#include <string>

#include "absl/functional/any_invocable.h"
#include "base/clock.h"
#include "base/status.h"
#include "core/manager.h"
#include "models/model_wait.h"

namespace penstock {

// One of them. One thread at a time.
struct PendingChange {
  AwaitedModels awaited;
  std::string model;  // what it has changed; empty: a whole list
  SteadyTime deadline = kNoDeadline;
  std::function<bool()> is_wanted;  // false once the client has gone
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
  size_t size() const { return entries_.size(); }

 private:
  struct Entry {
    PendingChange change;
    ModelWait wait;
    Status outcome;  // once it has one
  };

  // True, and `outcome` set, if it is not pending any more.
  static bool IsSettled(Entry& entry, SteadyTime now);

  core::Manager& manager_;
  std::list<Entry> entries_;
};

}  // namespace penstock
