// SPDX-License-Identifier: Apache-2.0
// How it works. There are two kinds of buffers. A small body gets a block of one of three sizes
// from a pool of the loop, and all of the block is counted at once. A big body gets a mapping of
// its own, with MAP_NORESERVE, so that its pages cost nothing until they are written. Commit counts
// them in steps before they are written, so a client that announces much and sends little uses only
// address space.
//
// A buffer may be freed on any thread, even after its loop has ended. Then GiveBack returns the
// bytes to the server-wide allowance instead of the reserve of the loop, and a small block is
// deleted instead of pooled.
#include "net/body/body_buffer.h"

#include <sys/mman.h>

#include <algorithm>
#include <array>
#include <new>

#include "net/loop/big_buffer_pool.h"
#include "net/loop/loop_pool.h"
#include "net/loop/server_state.h"

namespace penstock::net {
namespace {

constexpr size_t kHugePageBytes = 2 << 20;
// Mappings of at least this size use huge pages, but not in their first part, so that a body that
// stalls early costs little. madvise splits the kernel's record of the mapping from its neighbours,
// and a process may have only about 65,000 of these records. So it is called when the huge pages
// are first used.
constexpr size_t kHugeFrom = 4 * kHugePageBytes;
// In the first part, memory is counted in steps of this size.
constexpr size_t kCommitStep = 16 * 1024;
constexpr std::array<size_t, 3> kSmallClasses = {1024, 4096, kSmallCapacityMax};
constexpr std::array<LoopPoolKind, 3> kSmallPools = {{
    {LoopLocalKey::kBodies1K, 256, kSmallClasses[0]},
    {LoopLocalKey::kBodies4K, 256, kSmallClasses[1]},
    {LoopLocalKey::kBodies16K, 256, kSmallClasses[2]},
}};

size_t RoundUp(size_t size, size_t to) { return (size + to - 1) / to * to; }

void GiveBack(Loop& loop, uint64_t bytes) {
  if (loop.IsCurrent() && !loop.is_shut_down()) {
    loop.body_bytes().Give(bytes);
  } else {
    loop.server().body_bytes.Give(bytes);
  }
}

// A small buffer from a pool. Object and bytes are one allocation; the object takes the first
// alignment unit. Threads: as BodyBuffer.
class SmallBodyBuffer final : public BodyBuffer {
 public:
  static SmallBodyBuffer* Create(Loop& loop, size_t size_class) {
    const size_t capacity = kSmallClasses[size_class];
    void* block =
        ::operator new(kHeaderBytes + capacity + kBufferSlack, std::align_val_t{kBufferAlignment});
    return new (block) SmallBodyBuffer(static_cast<std::byte*>(block) + kHeaderBytes, capacity,
                                       static_cast<uint32_t>(size_class), loop);
  }
  void Delete() {
    this->~SmallBodyBuffer();
    ::operator delete(static_cast<void*>(this), std::align_val_t{kBufferAlignment});
  }
  bool Commit(size_t bytes) override { return bytes <= size(); }

 private:
  static constexpr size_t kHeaderBytes = kBufferAlignment;

  SmallBodyBuffer(std::byte* data, size_t size, uint32_t size_class, Loop& loop)
      : BodyBuffer(data, size), size_class_(size_class), loop_(loop.shared_from_this()) {
    static_assert(sizeof(SmallBodyBuffer) <= kHeaderBytes);
  }
  void Destroy() noexcept override;

  const uint32_t size_class_;
  const std::shared_ptr<Loop> loop_;
};

struct DeleteSmallBodyBuffer {
  void operator()(SmallBodyBuffer* buffer) const { buffer->Delete(); }
};
using SmallBufferPool = LoopPool<SmallBodyBuffer, DeleteSmallBodyBuffer>;

void SmallBodyBuffer::Destroy() noexcept {
  GiveBack(*loop_, size());
  SmallBufferPool::Object self(this);
  if (loop_->IsCurrent() && !loop_->is_shut_down())
    SmallBufferPool::Of(*loop_, kSmallPools[size_class_]).Give(std::move(self));
}

SmallBodyBuffer* TakeSmallBuffer(Loop& loop, size_t size_class) {
  SmallBodyBuffer* buffer = SmallBufferPool::Of(loop, kSmallPools[size_class]).Take().release();
  if (buffer == nullptr) return SmallBodyBuffer::Create(loop, size_class);
  // Unref does not always lower the count of the last owner to zero; it may still be one.
  if (!buffer->IsUnique()) buffer->Ref();
  return buffer;
}

// A big buffer: a mapping of its own, counted as it fills. Threads: as BodyBuffer.
class BigBodyBuffer final : public BodyBuffer {
 public:
  BigBodyBuffer(Mapping mapping, size_t capacity, Loop& loop)
      : BodyBuffer(mapping.data, capacity), mapping_(mapping), loop_(loop.shared_from_this()) {
    // Pages that an earlier body has left in memory count at once.
    if (loop.body_bytes().TryTake(mapping_.resident)) {
      counted_ = mapping_.resident;
    } else {
      madvise(mapping_.data, mapping_.resident, MADV_DONTNEED);
      mapping_.resident = 0;
    }
  }
  bool Commit(size_t bytes) override {
    if (bytes > size()) return false;
    if (bytes <= counted_) return true;
    // With huge pages, the first byte of a page makes all of it resident. So the budget counts
    // whole huge pages.
    const size_t step = bytes > kHugePageBytes ? kHugePageBytes : kCommitStep;
    const size_t wanted = std::min(RoundUp(bytes, step), mapping_.size);
    if (!loop_->TryTakeBodyBytes(wanted - counted_)) return false;
    counted_ = wanted;
    mapping_.resident = std::max(mapping_.resident, wanted);
    if (bytes > kHugePageBytes) UseHugePages();
    return true;
  }

 private:
  void Destroy() noexcept override {
    GiveBack(*loop_, counted_);
    loop_->server().big_buffers->Give(mapping_, std::chrono::steady_clock::now());
    delete this;
  }

  void UseHugePages() {
    if (mapping_.has_huge_pages || mapping_.size < kHugeFrom) return;
    mapping_.has_huge_pages = true;
    madvise(mapping_.data + kHugePageBytes, mapping_.size - kHugePageBytes, MADV_HUGEPAGE);
  }

  Mapping mapping_;
  size_t counted_ = 0;
  const std::shared_ptr<Loop> loop_;
};

}  // namespace

BodyBuffer* NewBodyBuffer(Loop& loop, size_t capacity) {
  for (size_t i = 0; i < kSmallClasses.size(); ++i) {
    if (capacity > kSmallClasses[i]) continue;
    if (!loop.TryTakeBodyBytes(kSmallClasses[i])) return nullptr;
    return TakeSmallBuffer(loop, i);
  }
  const Mapping mapping = loop.server().big_buffers->Take(capacity + kBufferSlack);
  if (mapping.data == nullptr) return nullptr;
  return new BigBodyBuffer(mapping, capacity, loop);
}

}  // namespace penstock::net
