// SPDX-License-Identifier: Apache-2.0
// How it works. Every byte of every field must be checked, but clients send the same fields again
// and again. HPACK's table gives such a field as the same string object of nghttp2. So FieldMemo
// remembers the result by the address of the object, and by the position in the head, because a
// client usually sends its fields in one order. It holds a reference, so the address cannot be
// given to another string. A field that misses the memo is classified: by the length of its name
// first, then by one comparison.
//
// The characters of a value are checked eight at a time, with the usual tricks for words ("has a
// byte less than n"). The table of classes decides about the groups in which such a byte is found.
#include "net/http2/fields.h"

#include <algorithm>
#include <cstring>

#include "net/headers.h"

namespace penstock::net {
namespace {

// Classes of characters, as bits.
enum : uint8_t { kNameChar = 1, kValueChar = 2, kVisibleChar = 4, kSchemeChar = 8, kDigit = 16 };

// Repeats a byte eight times.
constexpr uint64_t Eight(uint8_t byte) { return uint64_t{0x0101010101010101} * byte; }

// True if any of the eight bytes is less than `limit`, or is DEL. `limit` is at most 128.
constexpr bool HasControl(uint64_t eight, uint8_t limit) {
  const uint64_t del = eight ^ Eight(0x7f);
  return (((eight - Eight(limit)) & ~eight) | ((del - Eight(1)) & ~del)) & Eight(0x80);
}

constexpr bool IsLower(int c) { return c >= 'a' && c <= 'z'; }
constexpr bool IsUpper(int c) { return c >= 'A' && c <= 'Z'; }
constexpr bool IsDigit(int c) { return c >= '0' && c <= '9'; }

constexpr std::array<uint8_t, 256> MakeCharClasses() {
  std::array<uint8_t, 256> classes = {};
  constexpr std::string_view kTokenMarks = "!#$%&'*+-.^_`|~";
  for (int c = 0; c < 256; ++c) {
    uint8_t bits = 0;
    const bool is_mark = kTokenMarks.find(static_cast<char>(c)) != kTokenMarks.npos;
    if (c != 0 && (IsLower(c) || IsDigit(c) || is_mark)) bits |= kNameChar;
    if ((c >= 0x20 && c != 0x7f) || c == '\t') bits |= kValueChar;
    if (c > 0x20 && c != 0x7f) bits |= kVisibleChar;
    if (IsLower(c) || IsUpper(c) || IsDigit(c) || c == '+' || c == '-' || c == '.')
      bits |= kSchemeChar;
    if (IsDigit(c)) bits |= kDigit;
    classes[static_cast<size_t>(c)] = bits;
  }
  return classes;
}

constexpr std::array<uint8_t, 256> kCharClasses = MakeCharClasses();

bool AllAre(uint8_t wanted, std::string_view text) {
  uint8_t common = wanted;
  for (const char c : text) common &= kCharClasses[static_cast<unsigned char>(c)];
  return common == wanted;
}

bool IsBlank(char c) { return c == ' ' || c == '\t'; }

// Skips text that surely belongs to the class: groups of eight bytes in which none is less than
// `limit` or is DEL.
std::string_view SkipEights(std::string_view text, uint8_t limit) {
  while (text.size() >= sizeof(uint64_t)) {
    uint64_t eight;
    std::memcpy(&eight, text.data(), sizeof eight);
    if (HasControl(eight, limit)) break;
    text.remove_prefix(sizeof eight);
  }
  return text;
}

bool IsValue(std::string_view value) {
  if (value.empty()) return true;
  return !IsBlank(value.front()) && !IsBlank(value.back()) &&
         AllAre(kValueChar, SkipEights(value, ' '));
}

bool IsMethod(std::string_view value) {
  return !value.empty() && std::all_of(value.begin(), value.end(), [](char c) {
    return IsUpper(c) || (kCharClasses[static_cast<unsigned char>(c)] & kNameChar) != 0;
  });
}

bool IsVisible(std::string_view value) {
  return !value.empty() && AllAre(kVisibleChar, SkipEights(value, ' ' + 1));
}

FieldKind If(bool is_valid, FieldKind kind) { return is_valid ? kind : FieldKind::kMalformed; }

FieldKind ClassifyPseudo(std::string_view name, std::string_view value) {
  if (name == ":method") return If(IsMethod(value), FieldKind::kMethod);
  if (name == ":path") return If(IsVisible(value), FieldKind::kPath);
  if (name == ":authority") return If(IsVisible(value), FieldKind::kAuthority);
  if (name == ":scheme")
    return If(!value.empty() && AllAre(kSchemeChar, value), FieldKind::kScheme);
  return FieldKind::kMalformed;
}

// Returns the kind of a field by its name. kMalformed for fields that HTTP/2 does not allow.
FieldKind KindOf(std::string_view name, std::string_view value) {
  switch (name.size()) {
    // TE is the only field of a connection that HTTP/2 allows, and only with this value (RFC 9113,
    // section 8.2.2).
    case 2:
      return If(name != "te" || EqualsIgnoringCase(value, "trailers"), FieldKind::kOther);
    case 4:
      return name == "host" ? FieldKind::kHost : FieldKind::kOther;
    case 6:
      return name == "expect" ? FieldKind::kExpect : FieldKind::kOther;
    case 7:
      return If(name != "upgrade", FieldKind::kOther);
    case 10:
      return If(name != "connection" && name != "keep-alive", FieldKind::kOther);
    case 12:
      if (name == "content-type") return FieldKind::kContentType;
      return name == "grpc-timeout" ? FieldKind::kGrpcTimeout : FieldKind::kOther;
    case 13:
      return name == "grpc-encoding" ? FieldKind::kGrpcEncoding : FieldKind::kOther;
    case 14:
      if (name != "content-length") return FieldKind::kOther;
      return If(!value.empty() && AllAre(kDigit, value), FieldKind::kContentLength);
    case 16:
      return If(name != "proxy-connection", FieldKind::kOther);
    case 17:
      return If(name != "transfer-encoding", FieldKind::kOther);
    case 20:
      return name == "grpc-accept-encoding" ? FieldKind::kGrpcAcceptEncoding : FieldKind::kOther;
    default:
      return FieldKind::kOther;
  }
}

std::string_view TextOf(nghttp2_rcbuf* buffer) {
  const nghttp2_vec bytes = nghttp2_rcbuf_get_buf(buffer);
  return {reinterpret_cast<const char*>(bytes.base), bytes.len};
}

}  // namespace

FieldKind ClassifyField(std::string_view name, std::string_view value) {
  if (name.starts_with(':')) return ClassifyPseudo(name, value);
  if (name.empty() || !AllAre(kNameChar, name) || !IsValue(value)) return FieldKind::kMalformed;
  return KindOf(name, value);
}

bool FieldOrder::IsComplete(std::string_view method, std::string_view path) const {
  if (!Has(FieldKind::kMethod)) return false;
  const bool has_path = Has(FieldKind::kPath);
  const bool has_scheme = Has(FieldKind::kScheme);
  // RFC 9113, section 8.5: CONNECT has only an authority. It is well-formed, although no route
  // serves it.
  if (method == "CONNECT") return !has_path && !has_scheme && Has(FieldKind::kAuthority);
  return has_path && has_scheme && (path.front() == '/' || (path == "*" && method == "OPTIONS"));
}

FieldMemo::~FieldMemo() {
  for (Entry& entry : entries_) Release(entry);
}

void FieldMemo::Release(Entry& entry) {
  if (entry.name != nullptr) nghttp2_rcbuf_decref(entry.name);
  if (entry.value != nullptr) nghttp2_rcbuf_decref(entry.value);
  entry.name = entry.value = nullptr;
}

void FieldMemo::Learn(Entry& entry, nghttp2_rcbuf* name, nghttp2_rcbuf* value) {
  const std::string_view value_text = TextOf(value);
  Field& field = entry.field;
  // The string is new but the text is the same. Some clients send the path this way, not by HPACK's
  // table.
  if (entry.name == name && field.value == value_text) return;
  Release(entry);
  field.name = TextOf(name);
  field.value = value_text;
  field.kind = ClassifyField(field.name, field.value);
  // A long field is not kept: sixteen of them would hold much memory on each connection.
  if (field.name.size() + field.value.size() > kFieldBytesMax) return;
  nghttp2_rcbuf_incref(entry.name = name);
  nghttp2_rcbuf_incref(entry.value = value);
}

}  // namespace penstock::net
