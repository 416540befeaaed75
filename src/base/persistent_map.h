// SPDX-License-Identifier: Apache-2.0
// A map with cheap copies: copies share their common nodes. So a copy costs nothing, and a change
// costs the same for any number of entries.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/string_map.h"

namespace penstock {

// A trie over the hash of the key, as Bagwell's hash array mapped trie ("Ideal Hash Trees", 2001)
// without its compressed nodes. A change copies the nodes between the root and the entry, a few
// hundred bytes, and shares all others with earlier copies.
//
//   PersistentMap<int> next = current;     // shares all nodes
//   next.insert_or_assign("a", 1);         // `current` stays as it is
//   readers.Set(std::move(next));
//
// Copies are independent: one thread may change one while others read another. One thread at a time
// for each copy; const functions are safe from several.
template <typename Value>
class PersistentMap final {
 public:
  using Entry = std::pair<const std::string, Value>;

  // Returns null if there is no such key. The pointer is valid as long as this map, unless the
  // entry is replaced or erased.
  const Entry* find(std::string_view key) const {
    const size_t hash = Hash(key);
    const Node* node = root_.get();
    for (int shift = 0; node != nullptr; shift += kBits) {
      if (!node->children) {
        for (const auto& [entry_hash, entry] : node->entries) {
          if (entry_hash == hash && entry->first == key) return entry.get();
        }
        return nullptr;
      }
      node = (*node->children)[Slot(hash, shift)].get();
    }
    return nullptr;
  }
  // The result of find for a key that is not in the map. There is no order, and no iteration.
  static constexpr const Entry* end() { return nullptr; }
  bool contains(std::string_view key) const { return find(key) != end(); }
  size_t size() const { return size_; }
  bool empty() const { return size_ == 0; }

  // Adds the entry, or replaces the entry with this key.
  void insert_or_assign(std::string key, Value value) {
    if (!contains(key)) ++size_;
    const size_t hash = Hash(key);
    root_ = With(root_.get(),
                 {hash, std::make_shared<const Entry>(std::move(key), std::move(value))}, 0);
  }
  void erase(std::string_view key) {
    if (!contains(key)) return;
    --size_;
    root_ = Without(*root_, Hash(key), key, 0);
  }

 private:
  static constexpr int kBits = 4;
  static constexpr size_t kSlots = size_t{1} << kBits;
  static constexpr size_t kLeafEntriesMax = 8;
  static constexpr int kHashBits = 64;

  struct Node;
  using NodePointer = std::shared_ptr<const Node>;
  struct HashedEntry {
    size_t hash = 0;
    std::shared_ptr<const Entry> entry;
  };
  // A leaf has entries, an inner node has children.
  struct Node {
    std::vector<HashedEntry> entries;
    std::unique_ptr<std::array<NodePointer, kSlots>> children;
  };

  static size_t Hash(std::string_view key) { return StringViewHash()(key); }
  static size_t Slot(size_t hash, int shift) { return (hash >> shift) % kSlots; }

  static std::shared_ptr<Node> Copy(const Node& node) {
    auto copy = std::make_shared<Node>();
    copy->entries = node.entries;
    if (node.children)
      copy->children = std::make_unique<std::array<NodePointer, kSlots>>(*node.children);
    return copy;
  }

  // Returns a copy of `node` with the entry. Copies only the nodes on the way to it.
  static NodePointer With(const Node* node, HashedEntry added, int shift) {
    auto copy = node == nullptr ? std::make_shared<Node>() : Copy(*node);
    if (copy->children) {
      NodePointer& child = (*copy->children)[Slot(added.hash, shift)];
      child = With(child.get(), std::move(added), shift + kBits);
      return copy;
    }
    for (HashedEntry& old : copy->entries) {
      if (old.hash != added.hash || old.entry->first != added.entry->first) continue;
      old = std::move(added);
      return copy;
    }
    copy->entries.push_back(std::move(added));
    // Keys with the same whole hash stay in one leaf.
    if (copy->entries.size() <= kLeafEntriesMax || shift >= kHashBits) return copy;
    copy->children = std::make_unique<std::array<NodePointer, kSlots>>();
    for (HashedEntry& entry : std::exchange(copy->entries, {})) {
      NodePointer& child = (*copy->children)[Slot(entry.hash, shift)];
      child = With(child.get(), std::move(entry), shift + kBits);
    }
    return copy;
  }

  // Removes the key, which must be there. Returns null if nothing is left.
  static NodePointer Without(const Node& node, size_t hash, std::string_view key, int shift) {
    auto copy = Copy(node);
    if (!copy->children) {
      std::erase_if(copy->entries, [&](const HashedEntry& old) { return old.entry->first == key; });
      return copy->entries.empty() ? nullptr : copy;
    }
    NodePointer& child = (*copy->children)[Slot(hash, shift)];
    child = Without(*child, hash, key, shift + kBits);
    for (const NodePointer& each : *copy->children) {
      if (each != nullptr) return copy;
    }
    return nullptr;
  }

  NodePointer root_;
  size_t size_ = 0;
};

}  // namespace penstock
