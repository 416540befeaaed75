// SPDX-License-Identifier: Apache-2.0
#include "shared_blocks.h"

#include <sys/mman.h>

#include <cstring>
#include <string>
#include <utility>

#include "penstock/backend.hpp"

namespace penstock::onnxruntime {

void Unmap::operator()(void* block) const { munmap(block, size); }

// mmap, because the memory goes back to the system as soon as it is not used. The allocator could
// keep it.
MappedBlock MapBlock(uint64_t size) {
  void* const block =
      mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (block == MAP_FAILED) {
    throw plugin::Error(
        PENSTOCK_RESOURCE_EXHAUSTED,
        "there is no memory for " + std::to_string(size) + " bytes of external data");
  }
  return {block, Unmap{size}};
}

SharedBlocks::Ref SharedBlocks::Keep(MappedBlock block) {
  const Key key = KeyOf(block);
  // Held while blocks are compared: two loads of equal tables at the same time must find each
  // other. Only loads wait.
  const std::lock_guard lock(mutex_);
  std::erase_if(blocks_, [](const auto& each) { return each.second.expired(); });
  const auto [begin, end] = blocks_.equal_range(key);
  for (auto each = begin; each != end; ++each) {
    Ref known = each->second.lock();
    if (known != nullptr && std::memcmp(known.get(), block.get(), key.size) == 0) return known;
  }
  // A stray write must end the process, not change the answers of other models. If the call fails,
  // the block only lacks this safety.
  mprotect(block.get(), key.size, PROT_READ);
  const Unmap unmap = block.get_deleter();
  Ref shared(block.release(), unmap);
  blocks_.emplace(key, shared);
  return shared;
}

SharedBlocks::Key SharedBlocks::KeyOf(const MappedBlock& block) {
  constexpr uint64_t kSamples = 64;
  constexpr uint64_t kPrime = 0x9E3779B97F4A7C15;
  const uint64_t size = block.get_deleter().size;
  const auto* const bytes = static_cast<const unsigned char*>(block.get());
  Key key{.size = size};
  for (uint64_t i = 0; i < kSamples; ++i) {
    key.sample = (key.sample ^ bytes[size / kSamples * i]) * kPrime;
  }
  return key;
}

}  // namespace penstock::onnxruntime
