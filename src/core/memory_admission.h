// SPDX-License-Identifier: Apache-2.0
// Decides which load gets memory, and which one waits, evicts other models, or fails.
//
// Loads over the limit wait in the order in which they came. A review goes through them whenever
// memory may have become free. The memory that is free, being unloaded, or evictable is certain to
// come. If it is enough for a waiting load and for the advance reservations before it, the load
// gets an advance reservation too, and models are evicted for it, the least recently used first. A
// later load begins only if the memory that is free or being unloaded is enough for all advance
// reservations before it as well. Without this, small loads could keep a big one waiting forever.
//
// Some loads fit only if a running load fails, takes less than estimated, or becomes evictable.
// They get no advance reservation, because then one slow load would hold up all loads. But only
// kOvertakenMax loads may begin before such a load; then it gets one. A load that would not fit
// even so fails at once with RESOURCE_EXHAUSTED. RetryLacking retries it when there is headroom.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/functional/function_ref.h"
#include "base/status.h"
#include "core/load_job.h"
#include "core/memory_budget.h"

namespace penstock::core {

// Keeps the reservations of all loads, and the queue of the loads that wait for memory. It decides,
// and its owner acts: ReviewWaiting returns what to do. One thread at a time (the manager's mutex).
class MemoryAdmission final {
 public:
  // A waiting load gets an advance reservation after so many later loads have begun before it.
  static constexpr int kOvertakenMax = 100;

  // `limit` in bytes; 0: no limit, so no load waits.
  explicit MemoryAdmission(uint64_t limit) : budget_(limit) {}

  // --- Loads and unloads, by the number of the load.

  // Returns true if the load has its reservation and may begin. Otherwise it waits for a review.
  [[nodiscard]] bool Admit(const std::shared_ptr<LoadJob>& job);
  // The load hangs. Its reservation stays, but no other load may count on getting that memory.
  void NoteHung(const LoadJob& job);
  // The load has ended. The reservation was for its peak; from now on it is for the loaded version.
  // `bytes` is 0 if the load failed.
  void EndLoad(const LoadJob& job, uint64_t bytes, bool is_measured);
  // The memory of this load's version will be free when EndUnload is called.
  void BeginUnload(uint64_t load);
  void EndUnload(uint64_t load);

  // --- Models.

  // Sets the bytes that evicting the model would free; 0: it must not be evicted.
  void SetEvictable(const std::string& model, uint64_t bytes);
  // Sets the bytes of the smallest version of the model that failed for lack of memory; 0: none
  // has.
  void SetLacking(const std::string& model, uint64_t bytes);

  // --- Reviews.

  // Asks for a review: memory may have become free, or a load that waits may have been cancelled.
  void RequestReview() { needs_review_ = true; }
  // Does the same, if a load waits. For events that free no memory.
  void RequestReviewOfWaiting() { needs_review_ |= !waiting_.empty(); }
  // Returns true if a review is needed, and takes the request. False without a limit.
  bool TakeReviewRequest() { return std::exchange(needs_review_, false) && budget_.limit() > 0; }

  // What the owner must do after a review, in this order.
  struct Action {
    enum class Kind {
      kBegin,   // `job` has its reservation: begin it
      kReport,  // `job` waits, for the reason in `status`; OK: it does not wait any more
      kFail,    // fail `job` with `status`
      kEvict,   // unload the ready versions of `model`
    };
    Kind kind = Kind::kBegin;
    std::shared_ptr<LoadJob> job = nullptr;
    std::string model = "";
    Status status = OkStatus();
    uint64_t needed_bytes = 0;  // with kFail: so much memory was not free; 0: it was cancelled
  };
  // Returns the models that may be evicted now, in the order in which to evict them. Called at most
  // once in a review, and only if something must be evicted.
  using EvictionOrder = absl::FunctionRef<std::vector<std::string>()>;
  // Decides about each load that waits. A cancelled one fails.
  [[nodiscard]] std::vector<Action> ReviewWaiting(EvictionOrder eviction_order);
  // Asks models to load again what failed for lack of memory and would fit now. `retry` gets the
  // model and the headroom in bytes, and returns the bytes of the loads that it begins. Call it
  // after the actions of ReviewWaiting are done.
  void RetryLacking(
      absl::FunctionRef<uint64_t(const std::string& model, uint64_t headroom)> retry) const;

  // --- Status.

  uint64_t limit() const { return budget_.limit(); }
  uint64_t reserved() const { return budget_.reserved(); }
  uint64_t ReservedBy(uint64_t load) const { return budget_.ReservedBy(load); }
  bool IsMeasured(uint64_t load) const { return budget_.IsMeasured(load); }
  // The models that may be evicted, with the bytes that this would free.
  const std::map<std::string, uint64_t>& evictable() const { return evictable_; }

 private:
  struct WaitingLoad {
    std::shared_ptr<LoadJob> job;
    bool is_reported = false;  // a kReport was returned for it
  };
  // The intermediate results of one review.
  struct Review {
    uint64_t evicted_bytes = 0;  // that its kEvict actions will free
    // The eviction order, without the models that this review has evicted. nullopt: not asked for
    // yet.
    std::optional<std::vector<std::string>> candidates;
    LoadJob* overtakable = nullptr;  // the first that waits without an advance reservation
    std::vector<Action> actions;
  };

  bool TryReserve(const LoadJob& job, uint64_t advance_bytes, uint64_t evicted_bytes);
  // The memory that is free or being unloaded.
  uint64_t ComingBytes(uint64_t evicted_bytes) const;
  void ReviewLoad(WaitingLoad waiting, Review& review, EvictionOrder eviction_order);
  // Evicts models until `bytes` are free or being freed, if possible; not the model of `job`.
  void Evict(uint64_t bytes, const LoadJob& job, Review& review, EvictionOrder eviction_order);
  uint64_t EvictableBytes(const std::string& model) const;
  Status NoMemory(const LoadJob& job) const;

  MemoryBudget budget_;
  std::deque<WaitingLoad> waiting_;  // in order of arrival
  bool needs_review_ = false;
  uint64_t loading_bytes_ = 0;    // reserved by loads that run and do not hang
  uint64_t unloading_bytes_ = 0;  // of the unloads that run
  uint64_t advance_bytes_ = 0;    // the advance reservations of the last review
  std::map<std::string, uint64_t> evictable_;
  uint64_t evictable_bytes_ = 0;  // the sum of evictable_
  std::map<std::string, uint64_t> lacking_;
  std::set<std::pair<uint64_t, std::string>> lacking_by_bytes_;  // the same, the fewest bytes first
};

}  // namespace penstock::core
