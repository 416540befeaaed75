// SPDX-License-Identifier: Apache-2.0
// Copies of the last few requests of a model, by which a new version of it is warmed up.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <vector>

#include "base/allowance.h"
#include "base/mutex.h"
#include "base/random.h"
#include "infer/request.h"
#include "infer/signature.h"

namespace penstock {

// How much is kept.
struct RecentRequestsOptions {
  int requests_max = 4;                           // of a model; 0: none is kept
  uint64_t bytes_max = uint64_t{1} << 20;         // of the requests of a model
  uint64_t total_bytes_max = uint64_t{64} << 20;  // of the requests of all models
};

// A request with memory of its own. Immutable.
class RecentRequest final {
 public:
  // Copies all names, options and tensors of `request`, but not its deadline, cancel token and flow
  // control. Returns null if that takes more than `bytes_max`, or more than is left of `total`, or
  // if there is no memory.
  static std::shared_ptr<const RecentRequest> Copy(const InferRequest& request, uint64_t bytes_max,
                                                   std::shared_ptr<Allowance> total);
  ~RecentRequest() { total_->Give(bytes_); }
  RecentRequest(const RecentRequest&) = delete;
  RecentRequest& operator=(const RecentRequest&) = delete;

  const InferRequest& request() const { return request_; }
  uint64_t bytes() const { return bytes_; }

 private:
  explicit RecentRequest(std::shared_ptr<Allowance> total) : total_(std::move(total)) {}
  Status CopyFrom(const InferRequest& request);

  InferRequest request_;
  uint64_t bytes_ = 0;  // that it has taken off the total
  const std::shared_ptr<Allowance> total_;
};

// The last few requests that the versions of one model have answered. Two kept requests differ in
// signature, names, types or shapes, since a runtime prepares itself for each such combination.
// Requests are looked at in samples, so a rare one may be missed. Thread-safe.
class RecentRequests final : public std::enable_shared_from_this<RecentRequests> {
 public:
  // `total` counts the bytes of all models.
  RecentRequests(const RecentRequestsOptions& options, std::shared_ptr<Allowance> total)
      : requests_max_(static_cast<size_t>(options.requests_max)),
        bytes_max_(options.bytes_max),
        total_(std::move(total)) {}

  // False for models whose requests must not run again: a run could change what clients see.
  static bool MayRepeat(const ModelTraits& traits) {
    return !traits.has_state && !traits.has_side_effects;
  }

  // True for one request in kSample of each thread, and for all until the first one is kept. The
  // intervals are random, so that a client that asks models in turn cannot hide one of them.
  bool IsDue() const {
    thread_local uint64_t left = 0;
    if (left-- > 0 && !wants_any_.load(std::memory_order_relaxed)) [[likely]]
      return false;
    left = RandomBits() % (2 * kSample - 1);
    return true;
  }
  // Returns `done`, or a callback that calls it and keeps a copy of `request` if its answer is no
  // error. `request` has passed the checks of its signature.
  ResponseCallback Watch(const InferRequest& request, ResponseCallback done) EXCLUDES(mutex_);
  // Keeps a copy of a request that a version has answered.
  void Add(const InferRequest& request) EXCLUDES(mutex_);

  // Drops all requests, and those that run now: one of them may have broken the model.
  void Clear() EXCLUDES(mutex_);
  // Returns what is kept, the latest first.
  std::vector<std::shared_ptr<const RecentRequest>> Kept() const EXCLUDES(mutex_);

 private:
  static constexpr uint64_t kSample = 64;

  // True if a request of this form is kept. It is the latest one then.
  bool Renew(const InferRequest& request) REQUIRES(mutex_);
  // `clears`: those before the request was copied.
  void Keep(std::shared_ptr<const RecentRequest> copy, uint64_t clears) EXCLUDES(mutex_);

  const size_t requests_max_;
  const uint64_t bytes_max_;
  const std::shared_ptr<Allowance> total_;
  std::atomic<bool> wants_any_{true};

  mutable Mutex mutex_;
  uint64_t clears_ GUARDED_BY(mutex_) = 0;
  std::vector<std::shared_ptr<const RecentRequest>> kept_ GUARDED_BY(mutex_);  // the latest first
};

}  // namespace penstock
