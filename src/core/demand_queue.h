// SPDX-License-Identifier: Apache-2.0
// The requests that wait until a version of a model is loaded.
//
// A request that finds no ready version becomes a waiter of its model. No thread blocks. After each
// transition of the model, Settle asks for the answer to each waiter: OK, an error, or nothing yet.
// The answers run the code of the requests, so they are only collected here; the manager runs them
// when it has released its mutex. All waiters of a model share one timer, because thousands of them
// may wait.
#pragma once

#include <cstddef>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "base/clock.h"
#include "base/executor.h"
#include "base/status.h"
#include "core/background.h"
#include "core/demand.h"
#include "core/servable.h"

namespace penstock::core {

// Keeps the waiters of all models, their timers and their answers. At most `waiters_max` requests
// wait for one model. One thread at a time (the manager's mutex).
class DemandQueue final {
 public:
  using Done = absl::AnyInvocable<void(Status)>;

  // Both are called without the manager's mutex.
  struct Callbacks {
    // A deadline of a waiter of the model has passed. Must call TimeOut, with the mutex held.
    std::function<void(const std::string& model)> on_deadline;
    // The waiters that got OK have taken their handles. Must call EndAnswers with the same
    // argument, with the mutex held.
    std::function<void(const std::shared_ptr<int>& answering)> on_answered;
  };

  // `background` must outlive the queue.
  DemandQueue(Background& background, size_t waiters_max, Callbacks callbacks)
      : background_(background), waiters_max_(waiters_max), callbacks_(std::move(callbacks)) {}

  // Queues a request that waits for `version` (nullopt: for any). Returns false, and refuses the
  // request with UNAVAILABLE, if too many wait already. A full queue first drops the waiters whose
  // client has gone.
  bool Add(std::optional<VersionNumber> version, Demand demand);
  // Returns the answer for waiters of `version` (nullopt: of any) that `label` named; nullopt: no
  // answer yet.
  using FindAnswer = absl::FunctionRef<std::optional<Status>(std::optional<VersionNumber> version,
                                                             const std::string& label)>;
  // Answers the waiters of the model for which `find` has an answer. Calls it once for each pair of
  // version and label.
  void Settle(const std::string& model, FindAnswer find);
  // Answers all waiters of the model with `error`.
  void Refuse(const std::string& model, const Status& error);
  // Answers the waiters of the model whose deadline has passed.
  void TimeOut(const std::string& model);
  // Answers a request that does not wait.
  void Answer(Done done, Status status);

  bool HasWaiters(const std::string& model) const;
  // True while calls report OK to waiters of the model. It must not be evicted then, so that these
  // waiters can take their handles.
  bool IsAnswering(const std::string& model) const;
  static void EndAnswers(const std::shared_ptr<int>& answering) { --*answering; }
  // The model is gone, and all its waiters are answered. Answers that still run do not count for a
  // model that takes its name later.
  void Forget(const std::string& model) { queues_.erase(model); }

  // Returns the answers collected since the last call. Run them without the mutex.
  [[nodiscard]] std::vector<Task> TakeCalls() { return std::exchange(calls_, {}); }

 private:
  struct Waiter {
    std::optional<VersionNumber> version;  // nullopt: any
    std::string label;                     // the label in the request; may be empty
    SteadyTime deadline = kNoDeadline;
    Done done;
    std::function<bool()> is_wanted;  // null: always true
  };
  struct Queue {
    std::vector<Waiter> waiters;
    // Fires at the first deadline of the waiters, or earlier. None: no waiter has a deadline.
    std::optional<TimerId> timer;
    // Not 0 while IsAnswering. Shared with the calls, because the queue may be forgotten before
    // they end.
    std::shared_ptr<int> answering = std::make_shared<int>(0);
  };

  // Answers, and removes, the waiters whose client has gone.
  void DropGone(const std::string& model, Queue& queue);
  // Sets the timer to `deadline`, unless it fires earlier anyway. Cancels it if nobody waits.
  void SetTimer(const std::string& model, Queue& queue, SteadyTime deadline);

  Background& background_;
  const size_t waiters_max_;
  const Callbacks callbacks_;
  std::map<std::string, Queue> queues_;  // by model; from its first waiter until Forget
  std::vector<Task> calls_;
};

}  // namespace penstock::core
