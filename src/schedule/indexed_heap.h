// SPDX-License-Identifier: Apache-2.0
// A binary heap whose elements know their place in it, so that any of them can leave in O(log n).
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "base/check.h"

namespace penstock::schedule {

// The position of an element that is in no heap.
inline constexpr uint32_t kInNoHeap = UINT32_MAX;

// A heap of pointers to T, the least first. `Position` is the member of T that holds its place;
// it is kInNoHeap while the element is outside. `Less` compares two elements. The heap owns
// nothing: an element must not move or end while it is inside. One thread at a time.
template <typename T, uint32_t T::*Position, typename Less>
class IndexedHeap final {
 public:
  bool empty() const { return elements_.empty(); }
  size_t size() const { return elements_.size(); }
  // The least element. The heap must not be empty.
  T& top() const { return *elements_.front(); }
  // All elements, in no certain order.
  std::span<T* const> elements() const { return elements_; }

  // O(log n), as Remove and Update. REQUIRES: the element is in no heap.
  void Push(T& element) {
    PENSTOCK_CHECK(element.*Position == kInNoHeap, "an element enters a heap twice");
    elements_.push_back(&element);
    SiftUp(elements_.size() - 1, element);
  }

  // The last element takes the place, and moves from there. REQUIRES: the element is in this heap.
  void Remove(T& element) {
    const size_t hole = element.*Position;
    PENSTOCK_CHECK(hole < elements_.size() && elements_[hole] == &element,
                   "an element leaves a heap that it is not in");
    element.*Position = kInNoHeap;
    T& last = *elements_.back();
    elements_.pop_back();
    if (&last == &element) return;
    Place(hole, last);
    Update(last);
  }

  // Call it after the order of `element` has changed, before any other function: a heap with two
  // elements out of order cannot be repaired.
  void Update(T& element) {
    const size_t at = element.*Position;
    if (at > 0 && Less()(element, *elements_[(at - 1) / 2])) {
      SiftUp(at, element);
    } else {
      SiftDown(at, element);
    }
  }

 private:
  void Place(size_t at, T& element) {
    elements_[at] = &element;
    element.*Position = static_cast<uint32_t>(at);
  }

  void SiftUp(size_t at, T& element) {
    while (at > 0) {
      const size_t parent = (at - 1) / 2;
      if (!Less()(element, *elements_[parent])) break;
      Place(at, *elements_[parent]);
      at = parent;
    }
    Place(at, element);
  }

  void SiftDown(size_t at, T& element) {
    for (;;) {
      size_t child = 2 * at + 1;
      if (child >= elements_.size()) break;
      if (child + 1 < elements_.size() && Less()(*elements_[child + 1], *elements_[child])) ++child;
      if (!Less()(*elements_[child], element)) break;
      Place(at, *elements_[child]);
      at = child;
    }
    Place(at, element);
  }

  std::vector<T*> elements_;
};

}  // namespace penstock::schedule
