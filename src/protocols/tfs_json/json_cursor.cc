// SPDX-License-Identifier: Apache-2.0
// Strings are the only part of a JSON text that cannot always be used in place. A string without
// escapes is a view of the text. One with escapes, or in base64, is decoded into an arena, which
// also keeps the text alive: so one owner is enough for all strings of a request.
//
// The position of an error is computed only when there is one: it counts the lines from the start.
// To count them on the way would slow every good request.
#include "protocols/tfs_json/json_cursor.h"

#include <simdjson.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "absl/strings/escaping.h"

namespace penstock::tfs_json {
namespace {

constexpr size_t kArenaBlockBytes = 4096;
constexpr size_t kQuotedValueBytesMax = 256;  // of a value in a message

bool IsSpace(char c) { return c == ' ' || c == '\n' || c == '\r' || c == '\t'; }

// Appends `code_point` as UTF-8.
char* AppendUtf8(uint32_t code_point, char* to) {
  if (code_point < 0x80) {
    *to++ = static_cast<char>(code_point);
    return to;
  }
  const int tail = code_point < 0x800 ? 1 : code_point < 0x10000 ? 2 : 3;
  const uint32_t lead = tail == 1 ? 0xC0 : tail == 2 ? 0xE0 : 0xF0;
  *to++ = static_cast<char>(lead | code_point >> (6 * tail));
  for (int i = tail - 1; i >= 0; --i) {
    *to++ = static_cast<char>(0x80 | (code_point >> (6 * i) & 0x3F));
  }
  return to;
}

// The kind of the value that starts with `first`, in TensorFlow Serving's words.
std::string_view KindOf(char first) {
  switch (first) {
    case '{':
      return "Object";
    case '[':
      return "Array";
    case '"':
      return "String";
    case 't':
      return "True";
    case 'f':
      return "False";
    case 'n':
      return "Null";
    default:
      return "Number";
  }
}

}  // namespace

char* StringArena::Allocate(size_t size) {
  if (size > left_) {
    const size_t block_bytes = std::max(size, kArenaBlockBytes);
    blocks_.push_back(AllocateBuffer(block_bytes));
    next_ = reinterpret_cast<char*>(blocks_.back()->data());
    left_ = block_bytes;
  }
  left_ -= size;
  return std::exchange(next_, next_ + size);
}

StringArena& JsonCursor::arena() {
  if (!arena_) arena_ = BufferRef(new StringArena(text_.owner));
  return static_cast<StringArena&>(*arena_.get());
}

void JsonCursor::SkipSpace() {
  while (at_ < end_ && IsSpace(*at_)) ++at_;
}

bool JsonCursor::Expect(char wanted, std::string_view instead) {
  if (Peek() != wanted || AtEnd()) return FailSyntax(fmt::format("expected {}", instead));
  ++at_;
  return true;
}

// The loads may reach 15 bytes beyond the end. kBufferSlack makes that safe, and the min() below
// discards what was found there.
const char* JsonCursor::FindStringEnd(const char* at, bool& has_high_bit) const {
#if defined(__SSE2__)
  const __m128i quote = _mm_set1_epi8('"');
  const __m128i backslash = _mm_set1_epi8('\\');
  const __m128i last_control = _mm_set1_epi8(0x1F);
  for (; at < end_; at += 16) {
    const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(at));
    const __m128i special =
        _mm_or_si128(_mm_or_si128(_mm_cmpeq_epi8(bytes, quote), _mm_cmpeq_epi8(bytes, backslash)),
                     _mm_cmpeq_epi8(_mm_min_epu8(bytes, last_control), bytes));
    const uint32_t stops = static_cast<uint32_t>(_mm_movemask_epi8(special));
    const uint32_t high = static_cast<uint32_t>(_mm_movemask_epi8(bytes));
    if (stops != 0) {
      // Only bytes before the first stop belong to the string.
      has_high_bit |= (high & (stops - 1) & ~stops) != 0;
      return std::min(at + std::countr_zero(stops), end_);
    }
    has_high_bit |= high != 0;
  }
  return end_;
#else
  for (; at < end_ && *at != '"' && *at != '\\' && static_cast<unsigned char>(*at) >= ' '; ++at) {
    has_high_bit |= (*at & 0x80) != 0;
  }
  return at;
#endif
}

bool JsonCursor::ReadString(std::string_view& out) {
  if (Peek() != '"') return FailSyntax("expected a string");
  const char* const first = at_ + 1;
  bool has_high_bit = false;
  const char* const stop = FindStringEnd(first, has_high_bit);
  if (stop < end_ && *stop == '\\') return ReadEscapedString(first, out);
  if (stop >= end_ || *stop != '"') {
    if (stop < end_) at_ = stop;
    return FailSyntax(stop < end_ ? "control characters in a string must be escaped"
                                  : "the string that starts here has no end");
  }
  out = {first, static_cast<size_t>(stop - first)};
  // Without high bits the string is ASCII, which is always valid.
  if (has_high_bit && !simdjson::validate_utf8(out.data(), out.size())) {
    return FailSyntax("the string that starts here is not valid UTF-8");
  }
  at_ = stop + 1;
  return true;
}

// Reads a string with at least one escape, and copies it to the arena. The copy is never longer.
bool JsonCursor::ReadEscapedString(const char* first, std::string_view& out) {
  // Find the closing quote first: it gives the size for the arena. It also lets ReadEscape read
  // ahead without a check, because a quote is no part of an escape's digits.
  const char* close = first;
  bool has_high_bit = false;
  for (;;) {
    close = FindStringEnd(close, has_high_bit);
    if (close >= end_) return FailSyntax("the string that starts here has no end");
    if (*close == '"') break;
    // The character after a backslash is never the end. Control characters are reported below, with
    // their position.
    close += *close == '\\' ? 2 : 1;
  }
  char* const begin = arena().Allocate(static_cast<size_t>(close - first));
  char* to = begin;
  for (const char* from = first; from < close;) {
    const char* const stop = FindStringEnd(from, has_high_bit);
    to = std::copy(from, stop, to);
    from = stop;
    if (stop == close) break;
    at_ = stop;
    if (*stop != '\\') return FailSyntax("control characters in a string must be escaped");
    if (!ReadEscape(from, to)) return false;
  }
  out = {begin, static_cast<size_t>(to - begin)};
  // Errors about the whole string point to its start.
  at_ = first - 1;
  if (has_high_bit && !simdjson::validate_utf8(out.data(), out.size())) {
    return FailSyntax("the string that starts here is not valid UTF-8");
  }
  at_ = close + 1;
  return true;
}

// Reads an escape. `at` is at its backslash, and a closing quote follows somewhere.
bool JsonCursor::ReadEscape(const char*& at, char*& to) {
  static constexpr std::string_view kNames = "\"\\/bfnrt";
  static constexpr std::string_view kValues = "\"\\/\b\f\n\r\t";
  const char name = at[1];
  at += 2;
  if (const size_t index = kNames.find(name); index != std::string_view::npos) {
    *to++ = kValues[index];
    return true;
  }
  if (name != 'u') return FailSyntax("unknown escape in a string");
  uint32_t code = 0;
  if (!ReadHex4(at, code)) return false;
  // JSON writes characters beyond U+FFFF as two escapes, a high and a low surrogate.
  if (code >= 0xD800 && code < 0xDC00 && at[0] == '\\' && at[1] == 'u') {
    at += 2;
    uint32_t low = 0;
    if (!ReadHex4(at, low)) return false;
    if (low < 0xDC00 || low > 0xDFFF) return FailSyntax("half of a surrogate pair in a string");
    code = 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00);
  } else if (code >= 0xD800 && code <= 0xDFFF) {
    return FailSyntax("half of a surrogate pair in a string");
  }
  to = AppendUtf8(code, to);
  return true;
}

bool JsonCursor::ReadHex4(const char*& at, uint32_t& out) {
  out = 0;
  for (int i = 0; i < 4; ++i, ++at) {
    const char c = *at;
    const char lower = static_cast<char>(c | 0x20);
    if (c >= '0' && c <= '9') {
      out = out << 4 | static_cast<uint32_t>(c - '0');
    } else if (lower >= 'a' && lower <= 'f') {
      out = out << 4 | static_cast<uint32_t>(lower - 'a' + 10);
    } else {
      return FailSyntax("\\u in a string needs four hexadecimal digits");
    }
  }
  return true;
}

bool JsonCursor::ReadBase64Object(std::string_view& out) {
  // To find something else here is no error. So all that ReadString may have changed is restored.
  const char* const start = at_;
  Status error = error_;
  const bool had_bad_syntax = has_bad_syntax_;
  std::string_view key;
  bool matches = Peek() == '{';
  if (matches) Advance();
  matches = matches && Peek() == '"' && ReadString(key) && key == "b64" && Peek() == ':';
  if (matches) Advance();
  matches = matches && Peek() == '"' && ReadString(out) && Peek() == '}';
  if (matches) {
    Advance();
    return true;
  }
  at_ = start;
  error_ = std::move(error);
  has_bad_syntax_ = had_bad_syntax;
  return false;
}

bool JsonCursor::DecodeBase64(std::string_view encoded, std::string_view& out) {
  std::string decoded;
  if (!absl::Base64Unescape({encoded.data(), encoded.size()}, &decoded)) {
    return Fail("Unable to base64 decode the value of \"b64\"");
  }
  char* const kept = arena().Allocate(decoded.size());
  std::copy(decoded.begin(), decoded.end(), kept);
  out = {kept, decoded.size()};
  return true;
}

bool JsonCursor::ReadNonFinite(double& out) {
  std::string_view rest(at_, bytes_left());
  const bool negative = rest.starts_with('-');
  if (negative) rest.remove_prefix(1);
  // These words are not JSON, but TensorFlow Serving reads them. Infinity comes before Inf, which
  // it starts with.
  for (const std::string_view word : {"NaN", "Infinity", "Inf"}) {
    if (!rest.starts_with(word)) continue;
    out = word == "NaN" ? std::numeric_limits<double>::quiet_NaN()
                        : std::numeric_limits<double>::infinity();
    if (negative) out = -out;
    at_ += word.size() + (negative ? 1 : 0);
    return true;
  }
  return false;
}

bool JsonCursor::ReadBool(bool& out) {
  const std::string_view rest(at_, bytes_left());
  out = rest.starts_with("true");
  if (!out && !rest.starts_with("false")) return false;
  at_ += out ? 4 : 5;
  return true;
}

bool JsonCursor::SkipScalar() {
  std::string_view text;
  if (Peek() == '"') return ReadString(text);
  Decimal number;
  double non_finite;
  bool boolean;
  if (ReadNumber(number) || ReadNonFinite(non_finite) || ReadBool(boolean)) return true;
  if (std::string_view(at_, bytes_left()).starts_with("null")) {
    at_ += 4;
    return true;
  }
  return FailSyntax("Invalid value.");
}

bool JsonCursor::SkipValue() {
  // A stack of its own and no recursion: a client could nest lists so deep that the thread's stack
  // ends.
  std::string open;  // one '{' or '[' for each open level
  for (;;) {
    const char first = Peek();
    bool is_empty = false;
    if (first == '{' || first == '[') {
      if (static_cast<int>(open.size()) >= depth_max_) return FailDepth();
      open.push_back(first);
      Advance();
      is_empty = Peek() == (first == '{' ? '}' : ']');
    } else if (!SkipScalar()) {
      return false;
    }
    if (is_empty || (first != '{' && first != '[')) {
      // A value is complete: close the levels that end here.
      while (!open.empty() && Peek() == (open.back() == '{' ? '}' : ']')) {
        Advance();
        open.pop_back();
      }
      if (open.empty()) return true;
      if (!Expect(',', open.back() == '{' ? "',' or '}'" : "',' or ']'")) return false;
    }
    std::string_view key;
    if (open.back() == '{' && (!ReadString(key) || !Expect(':', "':'"))) return false;
  }
}

std::string JsonCursor::Position() const {
  const char* const at = std::min(at_, end_);
  const int64_t lines = std::count(begin_, at, '\n');
  const char* line_start = at;
  while (line_start > begin_ && line_start[-1] != '\n') --line_start;
  return fmt::format("at line {}, column {}", lines + 1, at - line_start + 1);
}

bool JsonCursor::Fail(StatusCode code, std::string message) {
  error_ = Error(code, "{} ({})", message, Position());
  has_bad_syntax_ = false;
  return false;
}

bool JsonCursor::FailSyntax(std::string_view message) {
  // Whatever was expected: the cause is that the text is cut off.
  if (AtEnd()) {
    Fail("JSON Parse error: the document ends too early");
  } else {
    Fail(fmt::format("JSON Parse error: {} at offset: {}", message, at_ - begin_));
  }
  has_bad_syntax_ = true;
  return false;
}

std::optional<std::string> JsonCursor::QuoteValue() {
  Peek();
  const char* const start = at_;
  if (!SkipValue()) return std::nullopt;
  const size_t size = std::min(static_cast<size_t>(at_ - start), kQuotedValueBytesMax);
  at_ = start;
  std::string value(start, size);
  // The cut may be within a character.
  while (!simdjson::validate_utf8(value.data(), value.size())) value.pop_back();
  return value;
}

bool JsonCursor::FailValue(std::string_view what) {
  const std::optional<std::string> value = QuoteValue();
  return value && Fail(fmt::format("JSON Value: {} {}", *value, what));
}

bool JsonCursor::FailType(std::string_view expected) {
  const std::string_view kind = KindOf(Peek());
  return FailValue(fmt::format("Type: {} is not of expected type: {}", kind, expected));
}

bool JsonCursor::FailSignatureName() {
  const std::string_view kind = KindOf(Peek());
  const char* const at = std::exchange(at_, begin_);
  SkipByteOrderMark();
  const std::optional<std::string> document = QuoteValue();
  if (!document) return false;
  at_ = at;
  return Fail(
      fmt::format("JSON Value: {} not formatted correctly. 'signature_name' key must be a string "
                  "value. It is of Type: {}",
                  *document, kind));
}

bool JsonCursor::FailDepth() {
  return Fail(fmt::format("lists and objects are nested deeper than {} levels", depth_max_));
}

}  // namespace penstock::tfs_json
