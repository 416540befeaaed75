// SPDX-License-Identifier: Apache-2.0
// Memory for the head of a request.
#pragma once

#include <cstdint>
#include <cstring>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "net/headers.h"

namespace penstock::net {

// The least memory of a head that is not empty.
inline constexpr size_t kHeadBytesMin = 512;

// The bytes of a request's head (less than 4 GiB, since header_bytes_max is). Its fields are stored
// as offsets, because the bytes may move while the head grows.
//
//   const size_t at = storage.Append("/v1/models/a");    // pseudo-header values, in any order
//   storage.AppendField("accept", "*/*");
//   head.path = storage.View(at, 12);                     // only when everything is appended
//   head.headers = storage.Fields();
//
// Reused for the next call: Clear keeps up to 16 KiB. It counts nothing; the caller limits the
// size. Owned by loop.
class HeadStorage final {
 public:
  void Clear();
  // Appends a copy of `text`, and returns its offset for View. Call View only when everything is
  // appended.
  size_t Append(std::string_view text) {
    const size_t at = size_;
    if (text.empty()) return at;
    if (text.size() > capacity_ - at) Grow(text.size());
    std::memcpy(bytes_.get() + at, text.data(), text.size());
    size_ += text.size();
    return at;
  }
  // Appends a field. Returns the offset of its value.
  size_t AppendField(std::string_view name, std::string_view value) {
    if (name.size() + value.size() > capacity_ - size_) Grow(name.size() + value.size());
    char* const at = bytes_.get() + size_;
    std::memcpy(at, name.data(), name.size());
    if (!value.empty()) std::memcpy(at + name.size(), value.data(), value.size());
    const size_t value_at = size_ + name.size();
    AddField(size_, name.size(), value_at, value.size());
    size_ = value_at + value.size();
    return value_at;
  }
  // Adds a field whose bytes were already appended with Append.
  void AddField(size_t name_at, size_t name_size, size_t value_at, size_t value_size) {
    fields_.push_back({static_cast<uint32_t>(name_at), static_cast<uint32_t>(name_size),
                       static_cast<uint32_t>(value_at), static_cast<uint32_t>(value_size)});
  }
  // The text at this offset. Valid until the next Append or Clear; a move of the storage keeps it
  // valid.
  std::string_view View(size_t at, size_t size) const { return {bytes_.get() + at, size}; }
  size_t size() const { return size_; }
  // The memory of the head, in bytes.
  size_t memory_bytes() const { return size_ + fields_.size() * (sizeof(Field) + sizeof(Header)); }

  // Returns the fields. The result is valid until the next change.
  std::span<const Header> Fields();

 private:
  struct Field {
    uint32_t name_at, name_size, value_at, value_size;
  };
  // Makes room for `bytes` more. Moves what is stored.
  void Grow(size_t bytes);

  // Not a string: std::string::append costs several times the copy, and runs for every field.
  std::unique_ptr<char[]> bytes_;
  size_t size_ = 0;
  size_t capacity_ = 0;
  std::vector<Field> fields_;
  std::vector<Header> headers_;
};

}  // namespace penstock::net
