// SPDX-License-Identifier: Apache-2.0
// A request that has more rows than a run may have. Only the engine uses it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "base/mutex.h"
#include "infer/batcher.h"
#include "infer/engine.h"
#include "infer/queued_run.h"

namespace penstock {

// Runs a request in parts of a few rows each, which write their answers into one. Each part waits
// in the queue as a request of its own, so it may also run together with others. Only as many parts
// wait or run at a time as keep the model busy, and they take at most half of the room that the
// queue has: so the request needs little memory beyond that of its answer, and shuts nobody out. If
// one part fails, the request fails, and the other parts are cancelled. Shared by the callbacks of
// the parts and of the request's token. Thread-safe.
class Engine::SplitRun final : public std::enable_shared_from_this<SplitRun> {
 public:
  // How a request of some form is split.
  struct Parts {
    BatchForm form;    // of the request. Not asked again: it changes if the signature is turned off
    int64_t rows = 0;  // of each part; less than the form has
  };
  // Runs `request` in parts. `lease`: the slot in which the first part runs; null: it waits as the
  // others do.
  static void Start(Engine& engine, core::Handle handle, const InferRequest& request,
                    const Parts& parts, schedule::Lease* lease, ResponseCallback&& done);

 private:
  // Runs one part after the other.
  struct Lane {
    InferRequest request;  // the part that waits or runs
    CancelToken token;
    StageTimes times;
    int64_t first_row = 0;  // of the part
    int64_t rows = 0;
    bool was_streamed = false;
  };

  SplitRun(Engine& engine, core::Handle handle, const InferRequest& request, const Parts& parts,
           ResponseCallback&& done);

  void Start(schedule::Lease* lease);
  // The bytes of the message that count for a part of so many rows.
  uint64_t BytesOf(int64_t rows) const;
  // How many parts may wait or run at a time.
  size_t LanesMax() const;
  // Makes the next part the one of the lane. Returns null if there is none, or if the request has
  // failed.
  std::unique_ptr<QueuedRun> TakePart(Lane& lane) EXCLUDES(mutex_);
  void OnPart(Lane& lane, InferResponse&& part) EXCLUDES(mutex_);
  // A part did not run. If that is because nobody waits for the request any more, this is the error
  // of the request, and it counts as refused.
  void NoteIfUnwanted() EXCLUDES(mutex_);
  // Cancels the parts that wait or run.
  void CancelParts(CancelReason reason);
  // All parts have ended.
  void Finish();
  // Runs the request as it is: its model turns out to be one whose answers cannot be joined.
  void RunWhole(const Status& why);

  Engine& engine_;
  const core::Handle handle_;
  Batcher& batcher_;  // lives as long as the version
  const InferRequest& request_;
  const BatchForm form_;
  const int64_t part_rows_;
  ResponseCallback done_;
  const std::unique_ptr<PartedAnswer> answer_;
  std::vector<std::unique_ptr<Lane>> lanes_;  // fixed

  Mutex mutex_;
  int64_t next_row_ GUARDED_BY(mutex_) = 0;
  size_t open_ GUARDED_BY(mutex_) = 0;        // parts that wait or run
  Status misfit_ GUARDED_BY(mutex_);          // why the answers of the parts cannot become one
  Status status_ GUARDED_BY(mutex_);          // the first error
  StageTimes times_ GUARDED_BY(mutex_) = {};  // of the part that started first
};

}  // namespace penstock
