// SPDX-License-Identifier: Apache-2.0
// Why an allocator of its own. nghttp2 allocates and frees several small objects for each request.
// A free list makes each of them a few instructions. It needs no lock, because a session is used by
// the thread of its loop only. Output blocks are different: any thread may drop the last reference.
// So a block goes to the list of the thread that drops it, and that list is limited.
//
// nghttp2's functions get no size when they free. So each block begins with a header that holds it.
#include "net/http2/memory.h"

#include <nghttp2/nghttp2.h>

#include <array>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <new>
#include <vector>

namespace penstock::net {
namespace {

constexpr size_t kClassBytes = 64;
constexpr size_t kClasses = 32;  // blocks up to 2 KiB are kept
constexpr size_t kKeptPerClass = 512;
constexpr size_t kOutputBlocksKept = 64;

// The header before every block.
struct alignas(16) BlockHeader {
  size_t size;  // usable bytes after the header
  BlockHeader* next;
};

// Blocks by size, each a multiple of kClassBytes. One thread at a time.
class FreeLists final {
 public:
  ~FreeLists() {
    for (BlockHeader* block : heads_) {
      while (block != nullptr) std::free(std::exchange(block, block->next));
    }
  }
  BlockHeader* Take(size_t index) {
    BlockHeader* block = heads_[index];
    if (block == nullptr) return nullptr;
    heads_[index] = block->next;
    --counts_[index];
    return block;
  }
  bool Give(BlockHeader* block, size_t index) {
    if (counts_[index] >= kKeptPerClass) return false;
    block->next = heads_[index];
    heads_[index] = block;
    ++counts_[index];
    return true;
  }
  size_t Shrink(size_t kept) {
    size_t bytes = 0;
    for (size_t i = 0; i < kClasses; ++i) {
      while (counts_[i] > kept) {
        std::free(Take(i));
        bytes += (i + 1) * kClassBytes;
      }
    }
    return bytes;
  }

 private:
  std::array<BlockHeader*, kClasses> heads_ = {};
  std::array<size_t, kClasses> counts_ = {};
};

thread_local FreeLists free_lists;

void* Allocate(size_t size) {
  // So that the header can be added without an overflow.
  if (size > std::numeric_limits<size_t>::max() / 2) return nullptr;
  const size_t index = size == 0 ? 0 : (size - 1) / kClassBytes;
  if (index < kClasses) {
    if (BlockHeader* block = free_lists.Take(index)) return block + 1;
    size = (index + 1) * kClassBytes;
  }
  auto* block = static_cast<BlockHeader*>(std::malloc(sizeof(BlockHeader) + size));
  if (block == nullptr) return nullptr;
  block->size = size;
  return block + 1;
}

void Free(void* memory) {
  if (memory == nullptr) return;
  BlockHeader* block = static_cast<BlockHeader*>(memory) - 1;
  const size_t index = (block->size - 1) / kClassBytes;
  if (index < kClasses && free_lists.Give(block, index)) return;
  std::free(block);
}

void* Reallocate(void* memory, size_t size) {
  if (memory == nullptr) return Allocate(size);
  BlockHeader* block = static_cast<BlockHeader*>(memory) - 1;
  if (size <= block->size) return memory;
  void* moved = Allocate(size);
  if (moved == nullptr) return nullptr;
  std::memcpy(moved, memory, block->size);
  Free(memory);
  return moved;
}

nghttp2_mem MakeMemory() {
  nghttp2_mem memory = {};
  memory.malloc = [](size_t size, void*) { return Allocate(size); };
  memory.free = [](void* block, void*) { Free(block); };
  memory.calloc = [](size_t count, size_t size, void*) -> void* {
    if (size != 0 && count > std::numeric_limits<size_t>::max() / size) return nullptr;
    void* block = Allocate(count * size);
    if (block != nullptr) std::memset(block, 0, count * size);
    return block;
  };
  memory.realloc = [](void* block, size_t size, void*) { return Reallocate(block, size); };
  return memory;
}

// A block for output. One thread at a time, as any Buffer that is written to.
class OutputBlock final : public Buffer {
 public:
  static void* operator new(size_t size) {
    return ::operator new(size + kOutputBlockBytes, std::align_val_t{kBufferAlignment});
  }
  static void operator delete(void* block) {
    ::operator delete(block, std::align_val_t{kBufferAlignment});
  }
  OutputBlock() : Buffer(reinterpret_cast<std::byte*>(this + 1), kOutputBlockBytes) {}

 private:
  void Destroy() noexcept override;
};

// The free output blocks of a thread. One thread at a time.
struct OutputBlocks {
  std::vector<void*> blocks;
  OutputBlocks() { blocks.reserve(kOutputBlocksKept); }
  ~OutputBlocks() {
    for (void* block : blocks) OutputBlock::operator delete(block);
  }
};
thread_local OutputBlocks output_blocks;

// The unused blocks of the loop's thread. Owned by loop.
class ThreadBlocks final : public LoopLocal {
 public:
  size_t Shrink(size_t kept) override {
    size_t bytes = free_lists.Shrink(kept);
    for (std::vector<void*>& blocks = output_blocks.blocks; blocks.size() > kept;
         blocks.pop_back()) {
      OutputBlock::operator delete(blocks.back());
      bytes += kOutputBlockBytes;
    }
    return bytes;
  }
};

void OutputBlock::Destroy() noexcept {
  this->~OutputBlock();
  if (output_blocks.blocks.size() < kOutputBlocksKept) {
    output_blocks.blocks.push_back(this);
  } else {
    OutputBlock::operator delete(this);
  }
}

}  // namespace

nghttp2_mem* Http2Memory() {
  static nghttp2_mem memory = MakeMemory();
  return &memory;
}

void AddHttp2Memory(Loop& loop) {
  std::unique_ptr<LoopLocal>& local = loop.local(LoopLocalKey::kHttp2Memory);
  if (local == nullptr) local = std::make_unique<ThreadBlocks>();
}

BufferRef NewOutputBlock() {
  std::vector<void*>& blocks = output_blocks.blocks;
  if (blocks.empty()) return BufferRef(new OutputBlock);
  void* block = blocks.back();
  blocks.pop_back();
  return BufferRef(::new (block) OutputBlock);
}

}  // namespace penstock::net
