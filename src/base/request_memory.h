// SPDX-License-Identifier: Apache-2.0
// Counts the memory of requests before it is allocated.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>

#include "base/allowance.h"
#include "base/buffer.h"
#include "base/counter.h"
#include "base/status.h"

namespace penstock {

// The default limit for the tensors of one request, in bytes beyond its message. Without it a
// message of a few bytes can ask for any number of equal elements.
inline constexpr uint64_t kDecodedTensorBytesMax = uint64_t{1} << 30;

// Smaller buffers are not counted. The request itself takes more memory than they do, and the
// number of requests is limited.
inline constexpr size_t kCountedBytesMin = 4096;

// The bytes that all requests of a server may hold together: bodies, decoded tensors, unsent
// answers. It is the one budget of --inflight_bytes_max. Code that allocates takes the bytes
// before, and gives them back when the memory is freed. Thread-safe.
class RequestAllowance final : public Allowance {
 public:
  // `refusals` must live as long as requests are served. Give does not use it.
  RequestAllowance(uint64_t bytes, Counter& refusals) : Allowance(bytes), refusals_(refusals) {}

  // Returns RESOURCE_EXHAUSTED: too few bytes are left for a request. Also counts the refusal, so
  // call it once for each refused request.
  Status Refuse();
  uint64_t refusals() const { return refusals_.Value(); }

 private:
  Counter& refusals_;
};
// Shared, because buffers may outlive the server.
using RequestBudget = std::shared_ptr<RequestAllowance>;

// Returns RESOURCE_EXHAUSTED: the system refused to allocate memory for `what`.
Status OutOfMemory(std::string_view what);

// A buffer that the budget counts for as long as it lives. Thread-safe as Buffer is.
class CountedBuffer : public Buffer {
 protected:
  using Buffer::Buffer;
};

// The memory that one request may still allocate. It has two limits: the request's own, and the
// budget that all requests share.
//
//   RequestMemory memory(decoded_tensor_bytes_max, &budget);
//   if (on_event_loop) memory.LimitInline(64 * 1024);
//   ASSIGN_OR_RETURN(Tensor tensor, Tensor::Allocate(type, shape, memory));
//   TRY(memory.Count(answer));  // until the answer has been sent
//
// One thread at a time.
class RequestMemory final {
 public:
  // A null `budget` counts nothing. The budget outlives this.
  explicit RequestMemory(uint64_t bytes_max = kDecodedTensorBytesMax,
                         const RequestBudget* budget = nullptr)
      : bytes_left_(bytes_max), budget_(budget) {}

  // Refuses an allocation if the sum then exceeds `bytes_max`, and sets is_too_large_inline. An
  // event loop uses this to move a request with large tensors to the compute pool.
  void LimitInline(uint64_t bytes_max) { inline_bytes_left_ = bytes_max; }
  // True: an allocation failed only because of LimitInline, so try again on the compute pool.
  bool is_too_large_inline() const { return is_too_large_inline_; }

  // The bytes left of the request's own limit.
  uint64_t bytes_left() const { return bytes_left_; }
  // These change the request's own limit. The caller has checked bytes_left().
  void Take(uint64_t bytes) { bytes_left_ -= bytes; }
  void GiveBack(uint64_t bytes) { bytes_left_ += bytes; }

  // Allocates a buffer of `bytes`, which the budget counts for as long as it lives. The caller
  // takes care of the request's own limit. Errors: RESOURCE_EXHAUSTED.
  StatusOr<BufferRef> Allocate(size_t bytes) {
    if (bytes >= kCountedBytesMin || bytes > inline_bytes_left_) return AllocateLarge(bytes);
    if (inline_bytes_left_ != UINT64_MAX) inline_bytes_left_ -= bytes;
    return AllocateBuffer(bytes);
  }
  // Makes the budget count the parts of `answer` that it does not count yet, until they are sent.
  // Errors: RESOURCE_EXHAUSTED; a part of it may be counted then.
  Status Count(ByteChain& answer) {
    return answer.bytes() < kCountedBytesMin ? OkStatus() : CountSlices(answer);
  }

 private:
  // For kCountedBytesMin bytes or more, or more than an event loop may allocate.
  StatusOr<BufferRef> AllocateLarge(size_t bytes);
  Status CountSlices(ByteChain& answer);

  uint64_t bytes_left_;
  const RequestBudget* const budget_;
  uint64_t inline_bytes_left_ = UINT64_MAX;
  bool is_too_large_inline_ = false;
};

}  // namespace penstock
