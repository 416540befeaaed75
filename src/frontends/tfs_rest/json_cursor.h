// SPDX-License-Identifier: Apache-2.0
// Walks over a JSON text once, front to back, without building a tree. Bytes are untrusted; nothing
// recurses, and no more memory is taken than the text has.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/buffer.h"
#include "base/status.h"
#include "frontends/tfs_rest/json_number.h"

namespace penstock::tfs_rest {

// Keeps strings that could not stay views of the text (escapes, base64), and the text itself.
// Filled by one thread, then shared.
class StringArena final : public Buffer {
 public:
  explicit StringArena(BufferRef text_owner)
      : Buffer(nullptr, 0), text_owner_(std::move(text_owner)) {}
  // `size` bytes that live as long as the arena.
  char* Allocate(size_t size);

 private:
  const BufferRef text_owner_;
  std::vector<BufferRef> blocks_;
  char* next_ = nullptr;
  size_t left_ = 0;
};

// One thread at a time. Functions that return false have set the error, unless they say otherwise.
class JsonCursor {
 public:
  // kBufferSlack bytes behind `text` are readable. `depth_max`: levels of lists and objects.
  JsonCursor(Slice text, int depth_max)
      : begin_(reinterpret_cast<const char*>(text.data)),
        at_(begin_),
        end_(begin_ + text.size),
        depth_max_(depth_max),
        text_(std::move(text)) {}

  const char* at() const { return at_; }
  void set_at(const char* at) { at_ = at; }
  size_t bytes_left() const { return at_ < end_ ? static_cast<size_t>(end_ - at_) : 0; }
  bool AtEnd() const { return at_ >= end_; }
  int depth_max() const { return depth_max_; }

  // The next character, which is no space; 0 at the end.
  char Peek() {
    if (static_cast<unsigned char>(*at_) <= ' ') SkipSpace();
    return at_ < end_ ? *at_ : '\0';
  }
  void Advance() { ++at_; }
  // Takes `wanted` if it comes next, else fails with `instead`, as in "',' or ']'".
  bool Expect(char wanted, std::string_view instead);

  // Reads a string; the view is of the text or of the arena.
  bool ReadString(std::string_view& out);
  // Takes {"b64": "..."}; `out` gets the text in it. False, without error and without moving: it is
  // something else.
  bool ReadBase64Object(std::string_view& out);
  // Decodes base64 into the arena.
  bool DecodeBase64(std::string_view encoded, std::string_view& out);
  // Reads a number. False if there is none: no error is set.
  bool ReadNumber(Decimal& out) {
    if (AtEnd() || !ReadDecimal(at_, end_, out) || out.end > end_) return false;
    at_ = out.end;
    return true;
  }
  // Takes NaN, Infinity, Inf, with or without '-'. False if there is none: no error is set.
  bool ReadNonFinite(double& out);
  // Takes true or false. False if there is none: no error is set.
  bool ReadBool(bool& out);
  // Skips a value of any kind.
  bool SkipValue();
  // The text of the value here, for a message: cut if it is long. Does not move. None: it is no
  // JSON, and the error is set.
  std::optional<std::string> QuoteValue();
  // Some programs write this mark before the text.
  void SkipByteOrderMark() {
    if (std::string_view(at_, bytes_left()).starts_with("\xEF\xBB\xBF")) at_ += 3;
  }

  // What the text wrongly has here: always false. Fail: a value that is not allowed;
  // FailSyntax: not JSON.
  bool Fail(StatusCode code, std::string message);
  bool Fail(std::string message) { return Fail(StatusCode::kInvalidArgument, std::move(message)); }
  bool FailSyntax(std::string_view message);
  // Whether the last error was that the text is not JSON.
  bool has_bad_syntax() const { return has_bad_syntax_; }
  // The value here is wrong: "JSON Value: " with its text, and `what`.
  bool FailValue(std::string_view what);
  // The value here is none of `expected`, as "float".
  bool FailType(std::string_view expected);
  bool FailDepth();
  const Status& error() const { return error_; }
  // Not for errors that the text is not JSON.
  void set_error(Status error) {
    error_ = std::move(error);
    has_bad_syntax_ = false;
  }
  Status TakeError() { return std::exchange(error_, OkStatus()); }

  // What must stay alive for the views that were read.
  BufferRef StringOwner() const { return arena_ ? BufferRef(arena_) : text_.owner; }

 private:
  void SkipSpace();
  StringArena& arena();
  // The first '"', backslash or control character at or behind `at`; or the end.
  const char* FindStringEnd(const char* at, bool& has_high_bit) const;
  bool ReadEscapedString(const char* first, std::string_view& out);
  bool ReadEscape(const char*& at, char*& to);
  bool ReadHex4(const char*& at, uint32_t& out);
  bool SkipScalar();
  // Where `at_` is: "at line 1, column 17".
  std::string Place() const;

  const char* begin_;
  const char* at_;
  const char* end_;
  int depth_max_;
  Slice text_;
  BufferRef arena_;  // a StringArena, made when needed
  Status error_;
  bool has_bad_syntax_ = false;
};

}  // namespace penstock::tfs_rest
