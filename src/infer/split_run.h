// SPDX-License-Identifier: Apache-2.0
// A request that has more rows than a run may have. Only the engine uses it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <vector>

#include "base/mutex.h"
#include "infer/batcher.h"
#include "infer/engine.h"
#include "infer/queued_run.h"

namespace penstock {

// Runs a request in parts of a few rows each, and joins their answers. Each part waits in the queue
// as a request of its own, so it may also run together with others. Only kLanesMax parts wait or
// run at a time, so a large request does not fill the queue. If one part fails, the request fails,
// and the other parts are cancelled. Shared by the callbacks of the parts and of the request's
// token. Thread-safe.
class Engine::SplitRun final : public std::enable_shared_from_this<SplitRun> {
 public:
  // Runs `request` in parts of `part_rows` rows. `lease`: the slot in which the first part runs;
  // null: it waits as the others do. REQUIRES: it has more rows than that.
  static void Start(Engine& engine, core::Handle handle, const InferRequest& request,
                    int64_t part_rows, schedule::Lease* lease, ResponseCallback&& done);

 private:
  static constexpr size_t kLanesMax = 64;

  // Runs one part after the other.
  struct Lane {
    InferRequest request;  // the part that waits or runs
    CancelToken token;
    StageTimes times;
    NamedTensors* outputs = nullptr;  // of the part
    bool was_streamed = false;
  };

  SplitRun(Engine& engine, core::Handle handle, const InferRequest& request, int64_t part_rows,
           ResponseCallback&& done);

  void Start(schedule::Lease* lease);
  // Makes the next part the one of the lane. Returns null if there is none, or if the request has
  // failed.
  std::unique_ptr<QueuedRun> TakePart(Lane& lane) EXCLUDES(mutex_);
  void OnPart(Lane& lane, InferResponse&& part) EXCLUDES(mutex_);
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
  std::vector<std::unique_ptr<Lane>> lanes_;  // fixed

  Mutex mutex_;
  int64_t next_row_ GUARDED_BY(mutex_) = 0;
  size_t open_ GUARDED_BY(mutex_) = 0;  // parts that wait or run
  bool was_streamed_ GUARDED_BY(mutex_) = false;
  Status status_ GUARDED_BY(mutex_);  // the first error
  std::deque<NamedTensors> outputs_
      GUARDED_BY(mutex_);                     // one entry for each part; a lane fills its own
  StageTimes times_ GUARDED_BY(mutex_) = {};  // of the part that started first
};

}  // namespace penstock
