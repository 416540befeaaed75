// SPDX-License-Identifier: Apache-2.0
// Reads a flatbuffer that a server has sent: each offset and count is checked before it is used,
// and nothing needs to be aligned.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>

namespace penstock_client {

// The elements of a list, all of which lie within the message. An absent list has none. Plain data.
struct FlatList {
  size_t at = 0;  // of the first element
  uint32_t count = 0;
};

// A table whose beginning and whose vtable lie within the message. Plain data.
struct FlatTable {
  size_t at = 0;
  size_t vtable = 0;
  uint16_t vtable_bytes = 0;
};

// Each function throws ProtocolError if the message is malformed. A function that is given a table
// or a list wants one that this reader has read. One thread at a time.
class FlatReader {
 public:
  explicit FlatReader(std::span<const std::byte> message) : message_(message) {}

  FlatTable Root() const { return TableBehind(0); }
  // The value of a field, 0 if it is absent.
  template <typename T>
  T Number(const FlatTable& table, int slot) const {
    const size_t at = FieldAt(table, slot);
    return at == 0 ? T{} : Load<T>(at);
  }
  // The list in a field. `width`: bytes of an element.
  FlatList List(const FlatTable& table, int slot, size_t width) const {
    const size_t at = FieldAt(table, slot);
    return at == 0 ? FlatList() : ListBehind(at, width);
  }
  std::string_view Text(const FlatTable& table, int slot) const {
    return View(List(table, slot, 1));
  }

  // Elements of lists. REQUIRES: index < list.count.
  FlatTable TableIn(const FlatList& list, uint32_t index) const {
    return TableBehind(list.at + size_t{4} * index);
  }
  std::string_view TextIn(const FlatList& list, uint32_t index) const {
    return View(ListBehind(list.at + size_t{4} * index, 1));
  }
  int64_t Int64In(const FlatList& list, uint32_t index) const {
    return Load<int64_t>(list.at + size_t{8} * index);
  }
  // REQUIRES: a list of bytes.
  std::span<const std::byte> Bytes(const FlatList& list) const {
    return message_.subspan(list.at, list.count);
  }

 private:
  [[noreturn]] void Fail(std::string_view what, size_t where) const;
  std::string_view View(const FlatList& list) const {
    return {reinterpret_cast<const char*>(message_.data()) + list.at, list.count};
  }
  template <typename T>
  T Load(size_t at) const {
    if (at > message_.size() || message_.size() - at < sizeof(T))
      Fail("an offset leads behind the end", at);
    T value;
    std::memcpy(&value, message_.data() + at, sizeof(value));
    return value;
  }
  // Where the offset at `at` leads.
  size_t Target(size_t at) const;
  // Where the field is; 0: the table does not have it.
  size_t FieldAt(const FlatTable& table, int slot) const;
  // What the offset at `at` leads to.
  FlatTable TableBehind(size_t at) const;
  FlatList ListBehind(size_t at, size_t width) const;

  const std::span<const std::byte> message_;
};

}  // namespace penstock_client
