// SPDX-License-Identifier: Apache-2.0
// The checks that RFC 9113 (sections 8.1.1 to 8.3.1) requires for the head of a request. nghttp2's
// own checks are switched off, because they read every byte of every field of every request. Here,
// nearly all fields come again from HPACK's table, and are recognised by their address.
#pragma once

#include <nghttp2/nghttp2.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace penstock::net {

// The fields that the server uses, and two classes for all others.
enum class FieldKind : uint8_t {
  kMethod,  // the pseudo-header fields come first
  kPath,
  kScheme,
  kAuthority,
  kHost,
  kContentType,
  kContentLength,
  kExpect,
  kGrpcTimeout,
  kGrpcEncoding,
  kGrpcAcceptEncoding,
  kOther,
  kMalformed,  // not allowed in a request: the stream is reset
};
// The number of kinds whose value the stream keeps.
inline constexpr size_t kKeptFieldKinds = static_cast<size_t>(FieldKind::kOther);

// True for :method and the like. They have a fixed set of names, and come before all other fields.
constexpr bool IsPseudo(FieldKind kind) { return kind <= FieldKind::kAuthority; }

// Checks one field without its context: the characters of name and value, unknown pseudo-header
// fields, and fields that only HTTP/1.1 allows.
FieldKind ClassifyField(std::string_view name, std::string_view value);

// Checks the order of the fields of one head, and which are present: a set of kinds, as bits.
//
//   for (each field) if (!order.Add(kind)) return Malformed();
//   if (!order.IsComplete(method, path)) return Malformed();
//
// One thread at a time.
class FieldOrder final {
  static constexpr uint32_t Bit(FieldKind kind) { return 1u << static_cast<uint32_t>(kind); }

 public:
  void Clear() { seen_ = 0; }
  bool Has(FieldKind kind) const { return (seen_ & Bit(kind)) != 0; }
  // Adds the next field. False: it is malformed, not allowed at this position, or not allowed
  // twice.
  [[nodiscard]] bool Add(FieldKind kind) {
    constexpr uint32_t kPseudo = Bit(FieldKind::kHost) - 1;
    constexpr uint32_t kOnce = kPseudo | Bit(FieldKind::kHost) | Bit(FieldKind::kContentLength);
    const uint32_t bit = Bit(kind);
    // Pseudo-header fields must come before all others.
    const bool is_misplaced = (bit & kPseudo) != 0 && seen_ > kPseudo;
    if (kind == FieldKind::kMalformed || (bit & kOnce & seen_) != 0 || is_misplaced) return false;
    seen_ |= bit;
    return true;
  }
  // Call it after the last field. False: a pseudo-header field is missing, CONNECT has one too
  // many, or the path does not begin with '/' ("*" is allowed with OPTIONS). RFC 9113, sections
  // 8.3.1 and 8.5.
  [[nodiscard]] bool IsComplete(std::string_view method, std::string_view path) const;

 private:
  uint32_t seen_ = 0;
};

// Caches the fields of a connection's last requests, by their index in the head and by the
// addresses of nghttp2's strings. HPACK's table gives a repeated field as the same string, so a hit
// costs two comparisons of pointers. It keeps these strings alive, so that no other string can have
// the same address. It holds at most 16 fields of up to 512 bytes. Owned by loop.
class FieldMemo final {
 public:
  struct Field {
    std::string_view name, value;
    FieldKind kind;
  };

  FieldMemo() = default;
  ~FieldMemo();
  FieldMemo(const FieldMemo&) = delete;
  FieldMemo& operator=(const FieldMemo&) = delete;

  // Begins a new head.
  void Restart() { next_ = 0; }
  // Returns the next field of the head. The result is valid until the next call; its text lives as
  // long as the two strings.
  const Field& Next(nghttp2_rcbuf* name, nghttp2_rcbuf* value) {
    Entry& entry = entries_[next_++ % kEntries];
    if (entry.name != name || entry.value != value) [[unlikely]]
      Learn(entry, name, value);
    return entry.field;
  }

 private:
  struct Entry {
    nghttp2_rcbuf* name = nullptr;
    nghttp2_rcbuf* value = nullptr;
    Field field = {};
  };
  static constexpr size_t kEntries = 16;
  static constexpr size_t kFieldBytesMax = 512;  // longer fields are not cached

  // Classifies the field and makes `entry` remember it, if it is not too long.
  static void Learn(Entry& entry, nghttp2_rcbuf* name, nghttp2_rcbuf* value);
  // Drops the references to the two strings.
  static void Release(Entry& entry);

  std::array<Entry, kEntries> entries_;
  size_t next_ = 0;
};

}  // namespace penstock::net
