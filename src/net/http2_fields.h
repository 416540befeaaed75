// SPDX-License-Identifier: Apache-2.0
// What RFC 9113 (sections 8.1.1 to 8.3.1) wants of the head of a request. nghttp2 is told not to
// check it, since it checks every byte of every field of every request; here a field that comes
// again from HPACK's table, as nearly all do, is recognised by its address.
#pragma once

#include <nghttp2/nghttp2.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace penstock::net {

// Fields that the server looks at, and what else a field can be.
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
  kMalformed,  // no request may have it: the stream is reset
};
// Kinds whose value the stream keeps.
inline constexpr size_t kKeptFieldKinds = static_cast<size_t>(FieldKind::kOther);

constexpr bool IsPseudo(FieldKind kind) { return kind <= FieldKind::kAuthority; }

// Checks one field by itself: the characters of name and value, unknown pseudo-header fields,
// fields that only HTTP/1.1 has.
FieldKind ClassifyField(std::string_view name, std::string_view value);

// The order of the fields of one head, and which have come. One thread at a time.
class FieldOrder final {
  static constexpr uint32_t Bit(FieldKind kind) { return 1u << static_cast<uint32_t>(kind); }

 public:
  void Clear() { seen_ = 0; }
  bool Has(FieldKind kind) const { return (seen_ & Bit(kind)) != 0; }
  // The next field. False: it is malformed, or it must not come here or not twice.
  [[nodiscard]] bool Add(FieldKind kind) {
    constexpr uint32_t kPseudo = Bit(FieldKind::kHost) - 1;
    constexpr uint32_t kOnce = kPseudo | Bit(FieldKind::kHost) | Bit(FieldKind::kContentLength);
    const uint32_t bit = Bit(kind);
    const bool is_misplaced = (bit & kPseudo) != 0 && seen_ > kPseudo;  // behind another field
    if (kind == FieldKind::kMalformed || (bit & kOnce & seen_) != 0 || is_misplaced) return false;
    seen_ |= bit;
    return true;
  }
  // All fields have come. False: one is missing or does not fit another.
  [[nodiscard]] bool IsComplete(std::string_view method, std::string_view path) const;

 private:
  uint32_t seen_ = 0;
};

// Remembers what the fields of a connection's last requests were, by their order in the head and
// by the addresses of nghttp2's strings, which it keeps alive. Owned by loop.
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

  // A head begins.
  void Restart() { next_ = 0; }
  // Its next field. It lives until the next call, and its text as long as the two strings.
  const Field& Look(nghttp2_rcbuf* name, nghttp2_rcbuf* value) {
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
  static constexpr size_t kFieldBytesMax = 512;  // a longer one is not kept

  static void Learn(Entry& entry, nghttp2_rcbuf* name, nghttp2_rcbuf* value);
  static void Release(Entry& entry);

  std::array<Entry, kEntries> entries_;
  size_t next_ = 0;
};

}  // namespace penstock::net
