// SPDX-License-Identifier: Apache-2.0
#include "base/buffer.h"

#include <cstring>
#include <new>

namespace penstock {
namespace {

// Header and bytes in one allocation. The header takes one alignment unit, so the bytes are aligned
// too. Aligned by hand: glibc does not keep aligned blocks in its thread caches, and a small
// buffer then costs page faults.
class HeapBuffer final : public Buffer {
 public:
  static HeapBuffer* Create(size_t size) {
    void* const block = ::operator new(kBufferAlignment - 1 + kHeaderBytes + size + kBufferSlack);
    const auto address = reinterpret_cast<uintptr_t>(block);
    const uintptr_t aligned = (address + kBufferAlignment - 1) & ~(kBufferAlignment - 1);
    auto* const header = static_cast<std::byte*>(block) + (aligned - address);
    return new (header) HeapBuffer(header + kHeaderBytes, size, block);
  }

 private:
  static constexpr size_t kHeaderBytes = kBufferAlignment;

  HeapBuffer(std::byte* data, size_t size, void* block) : Buffer(data, size), block_(block) {
    static_assert(sizeof(HeapBuffer) <= kHeaderBytes);
  }
  void Destroy() noexcept override {
    void* const block = block_;
    this->~HeapBuffer();
    ::operator delete(block);
  }

  void* const block_;
};

}  // namespace

BufferRef AllocateBuffer(size_t size) { return BufferRef(HeapBuffer::Create(size)); }

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
