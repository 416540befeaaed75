// SPDX-License-Identifier: Apache-2.0
// Counts the memory that requests make the server hold, before it is allocated.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>

#include "base/allowance.h"
#include "base/buffer.h"
#include "base/metrics.h"
#include "base/status.h"

namespace penstock {

// Bytes that the tensors of one request may take beyond its message, by default. A message of a few
// bytes can ask for any number of equal elements.
inline constexpr uint64_t kDecodedTensorBytesMax = uint64_t{1} << 30;

// Smaller buffers are not counted: the request that they belong to takes more than they do, and the
// number of requests is limited.
inline constexpr size_t kCountedBytesMin = 4096;

// The bytes that all requests of a server together may hold: bodies, decoded tensors, unsent
// answers. Thread-safe.
class RequestAllowance final : public Allowance {
 public:
  // `refusals` lives as long as requests are served. Giving bytes back does not use it.
  RequestAllowance(uint64_t bytes, Counter& refusals) : Allowance(bytes), refusals_(refusals) {}

  // RESOURCE_EXHAUSTED: too few bytes are left for a request. Counts the refusal, so whoever
  // refuses a request for this reason calls it.
  Status Refuse();
  uint64_t refusals() const { return refusals_.Value(); }

 private:
  Counter& refusals_;
};
// Shared, as buffers may outlive the server.
using RequestBudget = std::shared_ptr<RequestAllowance>;

// RESOURCE_EXHAUSTED: the system refused an allocation. `what` was to be allocated.
Status OutOfMemory(std::string_view what);

// A buffer that is counted in a budget as long as it lives. Thread-safe as Buffer is.
class CountedBuffer : public Buffer {
 protected:
  using Buffer::Buffer;
};

// What one request may still allocate. One thread at a time.
class RequestMemory final {
 public:
  // `budget` null: counted nowhere else. Outlives this.
  explicit RequestMemory(uint64_t bytes_max = kDecodedTensorBytesMax,
                         const RequestBudget* budget = nullptr)
      : bytes_left_(bytes_max), budget_(budget) {}

  // Refuses the allocation that takes the sum over `bytes_max`, and sets is_too_large_inline. An
  // event loop sets this, to hand a request that expands to the compute pool.
  void LimitInline(uint64_t bytes_max) { inline_bytes_left_ = bytes_max; }
  bool is_too_large_inline() const { return is_too_large_inline_; }

  // What the request's own limit has left.
  uint64_t bytes_left() const { return bytes_left_; }
  // Takes bytes off the request's limit, or gives them back. The caller has checked bytes_left().
  void Take(uint64_t bytes) { bytes_left_ -= bytes; }
  void GiveBack(uint64_t bytes) { bytes_left_ += bytes; }

  // A buffer of `bytes`, which the budget counts as long as it lives. The request's own limit is
  // the caller's business. Errors: RESOURCE_EXHAUSTED.
  StatusOr<BufferRef> Allocate(size_t bytes) {
    if (bytes >= kCountedBytesMin || bytes > inline_bytes_left_) return AllocateLarge(bytes);
    if (inline_bytes_left_ != UINT64_MAX) inline_bytes_left_ -= bytes;
    return AllocateBuffer(bytes);
  }
  // Has the budget count the parts of `answer` that nobody counts yet, until they are sent. Errors:
  // RESOURCE_EXHAUSTED; part of it may be counted then.
  Status Count(ByteChain& answer) {
    return answer.bytes() < kCountedBytesMin ? OkStatus() : CountSlices(answer);
  }

 private:
  // Of kCountedBytesMin or more, or of more than an event loop may allocate.
  StatusOr<BufferRef> AllocateLarge(size_t bytes);
  Status CountSlices(ByteChain& answer);

  uint64_t bytes_left_;
  const RequestBudget* const budget_;
  uint64_t inline_bytes_left_ = UINT64_MAX;
  bool is_too_large_inline_ = false;
};

}  // namespace penstock
