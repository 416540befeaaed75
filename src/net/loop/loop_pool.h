// SPDX-License-Identifier: Apache-2.0
// A loop's unused objects of one kind, which the next users take.
#pragma once

#include <algorithm>
#include <cstddef>
#include <memory>
#include <utility>
#include <vector>

#include "net/loop/loop.h"

namespace penstock::net {

// The pool of one kind of object: its place in the loop, the most objects that it keeps, and the
// memory that an object takes.
struct LoopPoolKind {
  LoopLocalKey key;
  size_t objects_max;
  size_t object_bytes;  // about; only the report of Shrink uses it
};

// Unused objects. A pool belongs to one loop, so it needs no lock. An object is given back in the
// state in which the next user needs it; the pool never touches it.
//
//   auto& pool = LoopPool<Http2Stream>::Of(loop, kStreamPool);
//   auto stream = pool.Take();
//   if (stream == nullptr) stream = std::make_unique<Http2Stream>();
//   ...
//   pool.Give(std::move(stream));
//
// Owned by loop.
template <typename T, typename Deleter = std::default_delete<T>>
class LoopPool final : public LoopLocal {
 public:
  using Object = std::unique_ptr<T, Deleter>;

  explicit LoopPool(const LoopPoolKind& kind) : kind_(kind) {}
  // Returns the loop's pool with this key, and makes it at the first call. REQUIRES: all callers
  // with one key use the same T, Deleter and kind, since the pool is found by its key alone.
  static LoopPool& Of(Loop& loop, const LoopPoolKind& kind) {
    std::unique_ptr<LoopLocal>& local = loop.local(kind.key);
    if (local == nullptr) local = std::make_unique<LoopPool>(kind);
    return static_cast<LoopPool&>(*local);
  }

  // Returns null if the pool is empty.
  Object Take() {
    if (free_.empty()) return nullptr;
    Object object = std::move(free_.back());
    free_.pop_back();
    return object;
  }
  // Keeps the object, or deletes it if there are enough.
  void Give(Object object) {
    if (free_.size() < kind_.objects_max) free_.push_back(std::move(object));
  }
  // The objects that were used last stay.
  size_t Shrink(size_t kept) override {
    const size_t surplus = free_.size() - std::min(free_.size(), kept);
    free_.erase(free_.begin(), free_.begin() + static_cast<ptrdiff_t>(surplus));
    free_.shrink_to_fit();
    return surplus * kind_.object_bytes;
  }

 private:
  const LoopPoolKind kind_;
  std::vector<Object> free_;
};

}  // namespace penstock::net
