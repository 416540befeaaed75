// SPDX-License-Identifier: Apache-2.0
// A list whose links lie in its items, so that adding an item allocates nothing.
#pragma once

namespace penstock::net {

template <typename T>
class LinkedList;

// The links of an item. T derives from it. An item is in one list at a time. Owned by loop.
template <typename T>
class LinkedItem {
 private:
  friend class LinkedList<T>;
  T* previous_ = nullptr;
  T* next_ = nullptr;
};

// The items in the order in which they were added. It does not own them. Owned by loop. Adding,
// removing and finding the oldest item take constant time. An item must be removed before it is
// destroyed.
//
//   class Stream : public LinkedItem<Stream> { ... };
//   for (Stream* s = list.first(); s != nullptr; s = LinkedList<Stream>::Next(*s)) ...
template <typename T>
class LinkedList final {
 public:
  // REQUIRES: `item` is in no list.
  void Add(T& item) {
    Links(item).previous_ = last_;
    Links(item).next_ = nullptr;
    (last_ != nullptr ? Links(*last_).next_ : first_) = &item;
    last_ = &item;
  }
  // REQUIRES: `item` is in this list. An iteration must take Next(item) before it removes the item.
  void Remove(T& item) {
    LinkedItem<T>& links = Links(item);
    (links.previous_ != nullptr ? Links(*links.previous_).next_ : first_) = links.next_;
    (links.next_ != nullptr ? Links(*links.next_).previous_ : last_) = links.previous_;
    links.previous_ = links.next_ = nullptr;
  }
  T* first() const { return first_; }
  // Null after the last item.
  static T* Next(const T& item) { return static_cast<const LinkedItem<T>&>(item).next_; }
  bool empty() const { return first_ == nullptr; }

 private:
  static LinkedItem<T>& Links(T& item) { return item; }

  T* first_ = nullptr;
  T* last_ = nullptr;
};

}  // namespace penstock::net
