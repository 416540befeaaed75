// SPDX-License-Identifier: Apache-2.0
#include "base/buffer.h"

#include <array>
#include <cstring>
#include <new>

#include "base/sanitized.h"

namespace penstock {
namespace {

// Keeps the header and the bytes in one allocation. The header takes one alignment unit, so the
// bytes are aligned too. We align by hand: glibc does not keep aligned blocks in its thread caches,
// and a small buffer then costs page faults.
class HeapBuffer final : public Buffer {
 public:
  static HeapBuffer* Create(size_t size) {
    void* const block = ::operator new(kBufferAlignment - 1 + kHeaderBytes + size + kBufferSlack);
    const auto address = reinterpret_cast<uintptr_t>(block);
    const uintptr_t aligned = (address + kBufferAlignment - 1) & ~(kBufferAlignment - 1);
    // The header fills one unit, so the bytes behind it are aligned as the header is.
    auto* const header = static_cast<std::byte*>(block) + (aligned - address);
    return new (header) HeapBuffer(header + kHeaderBytes, size, block);
  }

 private:
  static constexpr size_t kHeaderBytes = kBufferAlignment;

  HeapBuffer(std::byte* data, size_t size, void* block) : Buffer(data, size), block_(block) {
    static_assert(sizeof(HeapBuffer) <= kHeaderBytes);
  }
  void Destroy() noexcept override {
    // The destructor ends the life of the member, so it is copied before.
    void* const block = block_;
    this->~HeapBuffer();
    ::operator delete(block);
  }

  void* const block_;
};

// Most buffers of a small request have this size or less. Each thread keeps their memory for the
// next request.
constexpr size_t kSmallBytes = 256;
constexpr size_t kSmallKept = 64;  // per thread

// Kept memory of small buffers. One thread; without a destructor, so that it can be used at any
// time.
struct SmallBlocks {
  std::array<void*, kSmallKept> blocks;
  size_t count;
  bool thread_is_ending;
};
constinit thread_local SmallBlocks small_blocks = {};

// Frees the memory that the thread has kept. One thread.
struct SmallBlocksEnd {
  ~SmallBlocksEnd();
};

// Keeps the header, the bytes and the slack in one aligned block.
class alignas(kBufferAlignment) SmallBuffer final : public Buffer {
 public:
  static SmallBuffer* Create(size_t size) {
    void* const block = small_blocks.count > 0 ? small_blocks.blocks[--small_blocks.count] : New();
    return ::new (block) SmallBuffer(size);
  }
  static void Free(void* block) { ::operator delete(block, std::align_val_t{kBufferAlignment}); }

 private:
  explicit SmallBuffer(size_t size) : Buffer(bytes_, size) {}
  static void* New() {
    return ::operator new(sizeof(SmallBuffer), std::align_val_t{kBufferAlignment});
  }
  void Destroy() noexcept override {
    this->~SmallBuffer();
    SmallBlocks& kept = small_blocks;
    // Under a sanitizer no buffer is reused, so that the sanitizer finds accesses beyond its end or
    // after its life.
    if (kIsSanitized || kept.count == kSmallKept || kept.thread_is_ending) return Free(this);
    // Its construction registers a destructor with the thread. So only threads that keep blocks pay
    // for it.
    static thread_local const SmallBlocksEnd end;
    kept.blocks[kept.count++] = this;
  }

  alignas(kBufferAlignment) std::byte bytes_[kSmallBytes + kBufferSlack];
};

SmallBlocksEnd::~SmallBlocksEnd() {
  // Buffers may still die after this, in destructors of other thread_local objects. Nobody would
  // free blocks that were kept then.
  small_blocks.thread_is_ending = true;
  while (small_blocks.count > 0) SmallBuffer::Free(small_blocks.blocks[--small_blocks.count]);
}

}  // namespace

BufferRef AllocateBuffer(size_t size) {
  if (size <= kSmallBytes) return BufferRef(SmallBuffer::Create(size));
  return BufferRef(HeapBuffer::Create(size));
}

BufferRef CopyToBuffer(std::string_view bytes) {
  BufferRef buffer = AllocateBuffer(bytes.size());
  if (!bytes.empty()) std::memcpy(buffer->data(), bytes.data(), bytes.size());
  return buffer;
}

Slice WholeSlice(BufferRef buffer) {
  Slice slice{buffer->data(), buffer->size(), {}};
  slice.owner = std::move(buffer);
  return slice;
}

Slice Flatten(const ByteChain& chain) {
  if (chain.slices().size() == 1) return chain.slices()[0];
  BufferRef whole = AllocateBuffer(chain.bytes());
  std::byte* to = whole->data();
  for (const Slice& slice : chain.slices()) {
    std::memcpy(to, slice.data, slice.size);
    to += slice.size;
  }
  return WholeSlice(std::move(whole));
}

}  // namespace penstock
