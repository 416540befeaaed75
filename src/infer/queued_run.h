// SPDX-License-Identifier: Apache-2.0
// Requests between the queue of their model and the run. Only the engine uses it.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "base/calls/turn_end.h"
#include "base/cancel.h"
#include "infer/batcher.h"
#include "infer/engine.h"
#include "schedule/job.h"

namespace penstock {

// A request that waits for a slot. Deletes itself, unless a batch takes it along. One thread at a
// time.
class Engine::QueuedRun final : public schedule::Job {
 public:
  QueuedRun(Engine& engine, core::Handle handle, const InferRequest& request,
            ResponseCallback&& done);

  void Start(schedule::Lease& lease) override;
  void Drop() override;
  // Runs in the slot of `lease`, alone or with others that wait.
  static void StartNow(std::unique_ptr<QueuedRun> run, schedule::Lease& lease);
  // Enters the queue of its model, or answers that it is full.
  static void Enter(std::unique_ptr<QueuedRun> run);
  // Enters the queue again, after a run with others has failed, to run with fewer of them:
  // `requests_max` in all.
  static void Retry(std::unique_ptr<QueuedRun> run, size_t requests_max);
  // Runs on this thread, an event loop, without a slot.
  static void StartInline(std::unique_ptr<QueuedRun> run);

  // A part of a split request, which counts as refused once: SplitRun takes care of that.
  bool is_part = false;

  Engine& engine() const { return engine_; }
  const InferRequest& request() const { return request_; }
  const BatchForm& form() const { return form_; }
  const core::Handle& handle() const { return handle_; }
  size_t requests_max() const { return requests_max_; }
  // Notes that the run starts, or that it does not.
  void NoteWait(SteadyTime now);
  void Answer(InferResponse&& response) { done_(std::move(response)); }
  // As that of Engine. A part of a split request gets an error of no account: nothing is counted.
  Status CheckStillWanted(SteadyTime now) const;
  // It has waited longer than the model's configuration allows.
  void AnswerLate();
  void AnswerError(Status status) { penstock::AnswerError(done_, std::move(status)); }

 private:
  // `lease` is null on an event loop.
  void RunAlone(schedule::Lease* lease, SteadyTime now);

  Engine& engine_;
  core::Handle handle_;  // a version with queued requests is in use: it stays loaded
  const InferRequest& request_;
  ResponseCallback done_;
  BatchForm form_;                  // without rows: it must run alone, and has no group
  size_t requests_max_ = SIZE_MAX;  // of the runs that it shares
  SteadyTime queued_;
};

// Requests that share a run, or one request of a model whose requests may. Deletes itself with the
// last part of the answer. One thread at a time.
class Engine::BatchRun final {
 public:
  // `first` may be joined with others.
  explicit BatchRun(std::unique_ptr<QueuedRun> first);

  // Takes requests out of the queue that fit, and those of which it is not known yet.
  void TakeOthers(schedule::Lease& lease);
  // Takes `run` along and returns true if it fits. Else the caller keeps it.
  bool TryTake(std::unique_ptr<QueuedRun>& run);
  bool IsFull() const { return form().rows >= batcher_.RowsMax(form().signature); }
  // Runs all members. `lease` is null on an event loop.
  static void Start(std::unique_ptr<BatchRun> batch, schedule::Lease* lease, SteadyTime now);
  static void StartInline(std::unique_ptr<BatchRun> batch);

 private:
  // What a run has, or is going to have.
  struct Crowd {
    BatchForm form;  // of all requests together
    size_t requests = 1;
    size_t requests_max = SIZE_MAX;  // the least of theirs

    void Add(const QueuedRun& run);
  };

  // True if the other request may run with the members, and with those that are going to be, in a
  // run of `rows_max` rows.
  bool Fits(const QueuedRun& other, const Crowd& crowd, int64_t rows_max) const;
  void Add(QueuedRun* member);
  // Lets requests be decoded, and adds those that fit. The others go back to the queue.
  void Decode(std::span<schedule::Job* const> jobs, int64_t rows_max, schedule::Lease& lease);
  // Answers the members that nobody waits for any more, and drops them.
  void DropUnwanted(SteadyTime now);
  // Makes one request of the members. If that fails, only the first stays, and the others retry.
  void Join();
  // Cancels the run when the last member is cancelled.
  void WatchMembers();
  void EndWatch();
  void OnPart(InferResponse&& part);
  // Gives each member its part of the answer. Returns an error if the answer cannot be divided.
  Status Divide(const NamedTensors& outputs);
  // The run has failed, perhaps because of one member.
  void Fail(const Status& status);
  const BatchForm& form() const { return crowd_.form; }
  // Counts the members anew.
  void Recount();
  // The request that runs: of all members, or of the only one.
  const InferRequest& request() const {
    return joined_ != nullptr ? joined_->request() : members_.front()->request();
  }

  Engine& engine_;
  Batcher& batcher_;  // lives as long as the version, and so as long as a member
  std::vector<std::unique_ptr<QueuedRun>> members_;
  Crowd crowd_;                            // all members
  std::unique_ptr<JoinedRequest> joined_;  // null: there is one member
  CancelToken cancel_;                     // of the joined request
  std::atomic<size_t> wanted_{0};          // the members that are not cancelled
  bool is_watching_ = false;
  SteadyTime start_;
  bool was_streamed_ = false;  // the answer came in parts, which cannot be divided
};

// The requests of cheap models that an event loop has decoded in its current turn, and that may run
// together. Each event loop has its own. They run at the end of the turn, so none waits for another
// event. One thread.
class Engine::TurnBatches final : public TurnEnd::Task {
 public:
  // Returns that of this thread.
  static TurnBatches& OfThread();

  // `run` has a group. It may run before this returns.
  void Add(TurnEnd& turn, std::unique_ptr<QueuedRun> run);
  void OnTurnEnd() override;

 private:
  std::vector<std::unique_ptr<BatchRun>> batches_;  // of different versions, signatures or shapes
};

}  // namespace penstock
