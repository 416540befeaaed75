// SPDX-License-Identifier: Apache-2.0
// The header has the rules. All sums saturate, because estimates come from files and backends and
// can have any value.
//
// Four amounts decide. `headroom` is free now. `unloading_bytes_` and what this review evicts will
// be free soon, for certain. `evictable_bytes_` can be made free. `loading_bytes_` may become free,
// if running loads fail or take less than estimated.
#include "core/memory_admission.h"

#include "base/saturating.h"

namespace penstock::core {
namespace {

// The bytes that a load needs while it runs.
uint64_t PeakBytes(const LoadJob& job) {
  return SaturatingSum(job.estimate.ram_bytes, job.estimate.load_extra_bytes);
}

}  // namespace

// --- Loads and unloads.

bool MemoryAdmission::Admit(const std::shared_ptr<LoadJob>& job) {
  // Never past loads that wait already: a stream of small loads would keep a big one waiting.
  if (waiting_.empty() && TryReserve(*job, /*advance_bytes=*/0, /*evicted_bytes=*/0)) return true;
  waiting_.push_back({job});
  needs_review_ = true;
  return false;
}

void MemoryAdmission::NoteHung(const LoadJob& job) {
  loading_bytes_ -= budget_.ReservedBy(job.number);  // 0 while the estimate runs
  needs_review_ = true;
}

void MemoryAdmission::EndLoad(const LoadJob& job, uint64_t bytes, bool is_measured) {
  if (!job.is_hung) loading_bytes_ -= budget_.ReservedBy(job.number);
  budget_.Set(job.number, bytes, is_measured);
  needs_review_ = true;
}

void MemoryAdmission::BeginUnload(uint64_t load) { unloading_bytes_ += budget_.ReservedBy(load); }

void MemoryAdmission::EndUnload(uint64_t load) {
  unloading_bytes_ -= budget_.ReservedBy(load);
  budget_.Set(load, 0);
  needs_review_ = true;
}

// --- Models.

void MemoryAdmission::SetEvictable(const std::string& model, uint64_t bytes) {
  // The difference may be negative; unsigned arithmetic wraps around and gives the right sum.
  evictable_bytes_ += bytes - EvictableBytes(model);
  if (bytes == 0) {
    evictable_.erase(model);
  } else {
    evictable_.insert_or_assign(model, bytes);
  }
}

void MemoryAdmission::SetLacking(const std::string& model, uint64_t bytes) {
  const auto found = lacking_.find(model);
  if (found != lacking_.end()) {
    if (found->second == bytes) return;
    lacking_by_bytes_.erase({found->second, model});
    lacking_.erase(found);
  }
  if (bytes == 0) return;
  lacking_.emplace(model, bytes);
  lacking_by_bytes_.emplace(bytes, model);
}

uint64_t MemoryAdmission::EvictableBytes(const std::string& model) const {
  const auto found = evictable_.find(model);
  return found == evictable_.end() ? 0 : found->second;
}

// --- Reviews.

bool MemoryAdmission::TryReserve(const LoadJob& job, uint64_t advance_bytes,
                                 uint64_t evicted_bytes) {
  const uint64_t bytes = PeakBytes(job);
  if (bytes > budget_.headroom()) return false;
  if (SaturatingSum(bytes, advance_bytes) > ComingBytes(evicted_bytes)) return false;
  budget_.Set(job.number, bytes);
  loading_bytes_ += bytes;
  return true;
}

uint64_t MemoryAdmission::ComingBytes(uint64_t evicted_bytes) const {
  return SaturatingSum(budget_.headroom(), SaturatingSum(unloading_bytes_, evicted_bytes));
}

std::vector<MemoryAdmission::Action> MemoryAdmission::ReviewWaiting(EvictionOrder eviction_order) {
  advance_bytes_ = 0;
  if (waiting_.empty()) return {};
  Review review;
  for (WaitingLoad& waiting : std::exchange(waiting_, {}))
    ReviewLoad(std::move(waiting), review, eviction_order);
  return std::move(review.actions);
}

void MemoryAdmission::ReviewLoad(WaitingLoad waiting, Review& review,
                                 EvictionOrder eviction_order) {
  LoadJob& job = *waiting.job;
  if (job.is_cancelled) {
    review.actions.push_back(
        {.kind = Action::Kind::kFail, .job = waiting.job, .status = LoadCancelled()});
    return;
  }
  if (TryReserve(job, advance_bytes_, review.evicted_bytes)) {
    if (review.overtakable != nullptr) ++review.overtakable->overtaken;
    if (waiting.is_reported)
      review.actions.push_back({.kind = Action::Kind::kReport, .job = waiting.job});
    review.actions.push_back({.kind = Action::Kind::kBegin, .job = waiting.job});
    return;
  }
  const uint64_t bytes = PeakBytes(job);
  // Not the memory of the model itself: to evict its ready version for its next one would leave
  // requests without any.
  const uint64_t certain = SaturatingSum(ComingBytes(review.evicted_bytes),
                                         evictable_bytes_ - EvictableBytes(job.id.name));
  // Even all the memory of the running loads would not be enough.
  if (bytes > SaturatingSum(certain, loading_bytes_)) {
    review.actions.push_back({.kind = Action::Kind::kFail,
                              .job = waiting.job,
                              .status = NoMemory(job),
                              .needed_bytes = bytes});
    return;
  }
  const bool is_certain = SaturatingSum(advance_bytes_, bytes) <= certain;
  if (is_certain || job.overtaken >= kOvertakenMax) {
    advance_bytes_ = SaturatingSum(advance_bytes_, bytes);
  } else if (review.overtakable == nullptr) {
    review.overtakable = &job;
  }
  // Models are evicted only if that is sure to be enough. Otherwise they would go for nothing.
  if (is_certain) Evict(advance_bytes_, job, review, eviction_order);
  if (!std::exchange(waiting.is_reported, true)) {
    review.actions.push_back(
        {.kind = Action::Kind::kReport, .job = waiting.job, .status = NoMemory(job)});
  }
  waiting_.push_back(std::move(waiting));
}

void MemoryAdmission::Evict(uint64_t bytes, const LoadJob& job, Review& review,
                            EvictionOrder eviction_order) {
  if (ComingBytes(review.evicted_bytes) >= bytes) return;
  if (!review.candidates) review.candidates = eviction_order();
  std::vector<std::string> remaining;
  for (std::string& model : *review.candidates) {
    if (ComingBytes(review.evicted_bytes) >= bytes || model == job.id.name) {
      remaining.push_back(std::move(model));
      continue;
    }
    review.evicted_bytes += EvictableBytes(model);
    SetEvictable(model, 0);
    review.actions.push_back({.kind = Action::Kind::kEvict, .model = std::move(model)});
  }
  review.candidates = std::move(remaining);
}

void MemoryAdmission::RetryLacking(
    absl::FunctionRef<uint64_t(const std::string& model, uint64_t headroom)> retry) const {
  uint64_t left =
      SaturatingDifference(SaturatingSum(budget_.headroom(), evictable_bytes_), advance_bytes_);
  for (const auto& [bytes, model] : lacking_by_bytes_) {
    if (bytes > left) break;  // the models after it need even more
    left -= retry(model, SaturatingDifference(left, EvictableBytes(model)));
  }
}

Status MemoryAdmission::NoMemory(const LoadJob& job) const {
  const uint64_t needed = PeakBytes(job);
  if (needed <= budget_.headroom()) {
    return Error(StatusCode::kResourceExhausted,
                 "servable {} waits for memory: it takes {} bytes, and what is free is for loads "
                 "that came before it",
                 job.id.ToString(), needed);
  }
  return Error(StatusCode::kResourceExhausted,
               "Insufficient resources to load servable {}: it takes {} bytes, and {} of the limit "
               "of {} are taken, so that {} are missing",
               job.id.ToString(), needed, budget_.reserved(), budget_.limit(),
               needed - budget_.headroom());
}

}  // namespace penstock::core
