// SPDX-License-Identifier: Apache-2.0
// A request that lacks rows in the cache of its version.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "cache/flights.h"
#include "cache/version_cache.h"
#include "infer/answer_cache.h"
#include "infer/engine.h"
#include "infer/request.h"

namespace penstock::cache {

// Computes the rows that a request lacks, as a request of its own that the engine runs past the
// cache, so it may run together with others. Rows that another request computes already are waited
// for. Shared by the flights that it follows and by what it runs; thread-safe.
class CacheRun final : public FlightRun, public std::enable_shared_from_this<CacheRun> {
 public:
  // Where it runs. `engine` outlives it.
  struct Context {
    std::shared_ptr<VersionCache> cache;
    Engine& engine;
    ModelHandle handle;
  };

  // `lookup` lacks at least one value. `request` lives until `done` is called.
  static void Start(Context context, const InferRequest& request, RunPlace place, Lookup&& lookup,
                    ResponseCallback&& done);

  void OnFollow() override { pending_.fetch_add(1, std::memory_order_relaxed); }
  void OnFlight(uint32_t row, const std::vector<RowRef>* values, bool was_stopped) override;

 private:
  // What becomes of a row.
  enum class RowState : uint8_t {
    kThere,     // it lacks nothing
    kLacks,     // nobody computes it yet
    kOwn,       // this request computes it, and others may follow
    kAlone,     // this request computes it for itself
    kFollowed,  // another request computes it
    kTwin,      // an earlier row of this request has the same key
    kStopped,   // the request that should have computed it was stopped
    kFailed,    // and here the run has failed
  };

  CacheRun(Context&& context, const InferRequest& request, Lookup&& lookup,
           ResponseCallback&& done);

  // Decides what becomes of the rows that lack something, and runs those of this request.
  void Go(RunPlace place);
  RowState Claim(int64_t row);
  // Runs the rows of `own_`.
  void RunOwn(RunPlace place);
  Status GatherInputs();
  void OnOwnPart(InferResponse&& part);
  // Keeps the outputs of the own rows. Returns an error if they are not as expected.
  Status TakeOutputs(const NamedTensors& outputs);
  void FailOwn(const Status& status);
  // The own rows are there; waits for those of others.
  void WaitForOthers();
  void OnCancel();
  // One of those that this waits for has ended. The last one answers.
  void Leave();
  void Finish();
  // Runs the whole request past the cache, and answers with that.
  void RunWhole();
  // True for the first call: the caller must answer.
  bool TakeDone() { return !is_done_.exchange(true, std::memory_order_acq_rel); }
  void EndWatch();
  void Answer(InferResponse&& response);

  Context context_;
  const InferRequest& request_;  // not valid after the answer
  ResponseCallback done_;
  Lookup lookup_;
  const CacheOutcome outcome_;
  std::vector<RowState> states_;  // of a followed row, its flight writes it
  std::vector<uint32_t> twins_;   // for each row: the row that has its values, if it is a twin
  int rounds_ = 0;

  std::vector<int64_t> own_;  // rows, ascending
  OutputSet own_outputs_ = 0;
  InferRequest own_request_;
  NamedTensors whole_answer_;  // of a run that has computed all that was wanted
  bool was_streamed_ = false;

  std::atomic<uint32_t> pending_{0};
  std::atomic<bool> is_done_{false};
  // 0: the callback of the token is being set. 1: it is set. 2: it has been called.
  std::atomic<int> watch_{0};
  bool is_watching_ = false;
};

}  // namespace penstock::cache
