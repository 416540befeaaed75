// SPDX-License-Identifier: Apache-2.0
// Memory that several models share, because its bytes are equal.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>

namespace penstock::onnxruntime {

// Gives pages back to the system.
struct Unmap {
  uint64_t size = 0;
  void operator()(void* block) const;
};
using MappedBlock = std::unique_ptr<void, Unmap>;

// Anonymous memory of `size` bytes, which must not be 0. Throws Error if there is none.
MappedBlock MapBlock(uint64_t size);

// The blocks that models in this process use, one for each content. Thread-safe.
class SharedBlocks final {
 public:
  // The models that use a block own it together.
  using Ref = std::shared_ptr<const void>;

  // Returns a block with the bytes of `block`, which nobody can write to: an equal one that a model
  // uses, or else this one. Blocks are compared byte for byte.
  Ref Keep(MappedBlock block);

 private:
  // Size and a few bytes. Blocks with different keys are different, so most comparisons end here.
  struct Key {
    uint64_t size = 0;
    uint64_t sample = 0;
    auto operator<=>(const Key&) const = default;
  };
  static Key KeyOf(const MappedBlock& block);

  std::mutex mutex_;
  std::multimap<Key, std::weak_ptr<const void>> blocks_;  // guarded by mutex_
};

}  // namespace penstock::onnxruntime
