// SPDX-License-Identifier: Apache-2.0
#include "base/buffer.h"

#include <cstring>
#include <new>

namespace penstock {
namespace {

// Header and bytes in one allocation. The header takes one alignment unit, so the bytes are aligned
// too.
class HeapBuffer final : public Buffer {
 public:
  static HeapBuffer* Create(size_t size) {
    void* block =
        ::operator new(kHeaderBytes + size + kBufferSlack, std::align_val_t{kBufferAlignment});
    return new (block) HeapBuffer(static_cast<std::byte*>(block) + kHeaderBytes, size);
  }

 private:
  static constexpr size_t kHeaderBytes = kBufferAlignment;

  HeapBuffer(std::byte* data, size_t size) : Buffer(data, size) {
    static_assert(sizeof(HeapBuffer) <= kHeaderBytes);
  }
  void Destroy() noexcept override {
    this->~HeapBuffer();
    ::operator delete(static_cast<void*>(this), std::align_val_t{kBufferAlignment});
  }
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
