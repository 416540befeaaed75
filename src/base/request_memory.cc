// SPDX-License-Identifier: Apache-2.0
#include "base/request_memory.h"

#include <new>
#include <utility>

namespace penstock {
namespace {

// Wraps another buffer, and gives the bytes back to the budget when it is destroyed. Thread-safe as
// Buffer is.
class CountingBuffer final : public CountedBuffer {
 public:
  // The caller has taken `counted` bytes from `budget`.
  CountingBuffer(BufferRef kept, RequestBudget budget, uint64_t counted)
      : CountedBuffer(kept->data(), kept->size()),
        kept_(std::move(kept)),
        budget_(std::move(budget)),
        counted_(counted) {}
  ~CountingBuffer() override {
    // Free the memory first. Otherwise another request could take the budget while the memory is
    // still in use.
    kept_ = {};
    budget_->Give(counted_);
  }

 private:
  BufferRef kept_;
  const RequestBudget budget_;
  const uint64_t counted_;
};

// Takes `bytes` from the budget, and wraps the buffer that `make` returns so that it gives them
// back.
template <typename Make>
StatusOr<BufferRef> MakeCounted(const RequestBudget& budget, uint64_t bytes, Make make) {
  if (!budget->TryTake(bytes)) return budget->Refuse();
  try {
    return BufferRef(new CountingBuffer(make(), budget, bytes));
  } catch (const std::bad_alloc&) {
    // The system may run out of memory before the budget does. Then only this request fails.
    budget->Give(bytes);
    return OutOfMemory(fmt::format("a buffer of {} bytes", bytes));
  }
}

bool IsCounted(const Slice& slice) {
  // A buffer that the budget counts already must not count twice.
  return dynamic_cast<const CountedBuffer*>(slice.owner.get()) != nullptr;
}

}  // namespace

Status OutOfMemory(std::string_view what) {
  return Error(StatusCode::kResourceExhausted,
               "the server has no memory for {} now: try again later", what);
}

Status RequestAllowance::Refuse() {
  refusals_.Add();
  return absl::ResourceExhaustedError(
      "the requests in flight hold as much memory as they may (--inflight_bytes_max): try again "
      "later");
}

StatusOr<BufferRef> RequestMemory::AllocateLarge(size_t bytes) {
  if (bytes > inline_bytes_left_) [[unlikely]] {
    is_too_large_inline_ = true;
    return OutOfMemory("a request of this size on an event loop");
  }
  // UINT64_MAX stands for no limit, and must stay that value.
  if (inline_bytes_left_ != UINT64_MAX) inline_bytes_left_ -= bytes;
  if (budget_ != nullptr && *budget_ != nullptr) {
    return MakeCounted(*budget_, bytes, [bytes] { return AllocateBuffer(bytes); });
  }
  try {
    return AllocateBuffer(bytes);
  } catch (const std::bad_alloc&) {
    return OutOfMemory(fmt::format("a buffer of {} bytes", bytes));
  }
}

Status RequestMemory::CountSlices(ByteChain& answer) {
  if (budget_ == nullptr || *budget_ == nullptr) return OkStatus();
  for (Slice& slice : answer.mutable_slices()) {
    // Without an owner the bytes are static.
    if (slice.size < kCountedBytesMin || !slice.owner || IsCounted(slice)) continue;
    ASSIGN_OR_RETURN(slice.owner,
                     MakeCounted(*budget_, slice.size, [&slice] { return slice.owner; }));
  }
  return OkStatus();
}

}  // namespace penstock
