// SPDX-License-Identifier: Apache-2.0
// The items of one flow in the order in which they start.
#pragma once

#include <cstddef>
#include <cstdint>

#include "schedule/indexed_heap.h"
#include "schedule/queue_item.h"

namespace penstock::schedule {

// Items by deadline, and then by arrival. Most come nearly in that order, as clients give each of
// their requests the same time: these form a list, which an item enters near its end. The others
// are in a heap. So Push and Remove take O(1) for the former, and O(log n) for the latter. Owns
// nothing: an item must not move or end while it is inside, nor may its order change. One thread at
// a time.
class ItemQueue final {
 public:
  bool empty() const { return size() == 0; }
  size_t size() const { return listed_ + heap_.size(); }
  // The item that starts first. REQUIRES: !empty().
  QueueItem& top() const {
    if (first_ == nullptr) return heap_.top();
    return !heap_.empty() && IsEarlier()(heap_.top(), *first_) ? heap_.top() : *first_;
  }
  // Calls `act` for each item, in no certain order.
  template <typename Act>
  void ForEach(Act act) const {
    for (QueueItem* item = first_; item != nullptr; item = item->later) act(*item);
    for (QueueItem* item : heap_.elements()) act(*item);
  }

  // REQUIRES: the item is in no queue.
  void Push(QueueItem& item) {
    QueueItem* earlier = last_;
    for (size_t steps = 0; earlier != nullptr && IsEarlier()(item, *earlier); ++steps) {
      if (steps == kStepsMax) return heap_.Push(item);
      earlier = earlier->earlier;
    }
    Link(item, earlier, earlier == nullptr ? first_ : earlier->later);
    ++listed_;
  }
  // REQUIRES: the item is in this queue.
  void Remove(QueueItem& item) {
    if (item.position != kInNoHeap) return heap_.Remove(item);
    (item.earlier == nullptr ? first_ : item.earlier->later) = item.later;
    (item.later == nullptr ? last_ : item.later->earlier) = item.earlier;
    item.earlier = item.later = nullptr;
    --listed_;
  }

 private:
  // An item may overtake so many of the list. A time-out is rounded on its way, so requests with
  // the same one come with deadlines a little out of order.
  static constexpr size_t kStepsMax = 8;

  struct IsEarlier {
    bool operator()(const QueueItem& a, const QueueItem& b) const {
      return a.deadline != b.deadline ? a.deadline < b.deadline : a.arrival < b.arrival;
    }
  };

  // Puts the item between these two of the list, either of which may be null.
  void Link(QueueItem& item, QueueItem* earlier, QueueItem* later) {
    item.earlier = earlier;
    item.later = later;
    (earlier == nullptr ? first_ : earlier->later) = &item;
    (later == nullptr ? last_ : later->earlier) = &item;
  }

  QueueItem* first_ = nullptr;  // of the list
  QueueItem* last_ = nullptr;
  size_t listed_ = 0;
  IndexedHeap<QueueItem, &QueueItem::position, IsEarlier> heap_;
};

}  // namespace penstock::schedule
