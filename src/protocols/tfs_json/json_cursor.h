// SPDX-License-Identifier: Apache-2.0
// Walks over a JSON text once, from front to back, without building a tree. The bytes are
// untrusted: nothing recurses, and memory is bounded by the length of the text.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/buffer.h"
#include "base/status.h"
#include "protocols/tfs_json/json_number.h"

namespace penstock::tfs_json {

// Keeps the text alive, and the strings that cannot be views of it (escapes, base64). One thread
// fills it, then it is shared.
class StringArena final : public Buffer {
 public:
  explicit StringArena(BufferRef text_owner)
      : Buffer(nullptr, 0), text_owner_(std::move(text_owner)) {}
  // Allocates `size` bytes that live as long as the arena.
  char* Allocate(size_t size);

 private:
  const BufferRef text_owner_;
  std::vector<BufferRef> blocks_;
  char* next_ = nullptr;
  size_t left_ = 0;
};

// A position in a JSON text. One thread at a time. Functions that return false have set the error,
// unless they say otherwise.
class JsonCursor {
 public:
  // kBufferSlack bytes after `text` must be readable. `depth_max` limits the nesting of lists and
  // objects.
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

  // Skips white space, and returns the next character; 0 at the end.
  char Peek() {
    if (static_cast<unsigned char>(*at_) <= ' ') {
      // Most programs write one space after each comma.
      if (*at_ == ' ' && static_cast<unsigned char>(at_[1]) > ' ') {
        ++at_;
      } else {
        SkipSpace();
      }
    }
    return at_ < end_ ? *at_ : '\0';
  }
  void Advance() { ++at_; }
  // Consumes `wanted` if it is next. Otherwise fails, and the error says that `instead` was
  // expected, for example "',' or ']'".
  bool Expect(char wanted, std::string_view instead);

  // Reads a string. The view is of the text or of the arena.
  bool ReadString(std::string_view& out);
  // Reads {"b64": "..."}; `out` gets the text in it. Returns false, without an error and without
  // moving, if there is something else.
  bool ReadBase64Object(std::string_view& out);
  // Decodes base64 into the arena.
  bool DecodeBase64(std::string_view encoded, std::string_view& out);
  // Reads a number. Returns false, without an error, if there is none.
  bool ReadNumber(Decimal& out) {
    if (AtEnd() || !ReadDecimal(at_, end_, out) || out.end > end_) return false;
    at_ = out.end;
    return true;
  }
  // Reads NaN, Infinity or Inf, with or without '-'. Returns false, without an error, if there is
  // none.
  bool ReadNonFinite(double& out);
  // Reads true or false. Returns false, without an error, if there is neither.
  bool ReadBool(bool& out);
  // Skips a value of any kind.
  bool SkipValue();
  // Returns the text of the value here for a message, shortened if it is long. Does not move.
  // Returns none, and sets the error, if it is not JSON.
  std::optional<std::string> QuoteValue();
  // Some programs write a byte order mark before the text.
  void SkipByteOrderMark() {
    if (std::string_view(at_, bytes_left()).starts_with("\xEF\xBB\xBF")) at_ += 3;
  }

  // These set an error about the text here, and return false. Fail: a value that is not allowed.
  // FailSyntax: not JSON.
  bool Fail(StatusCode code, std::string message);
  bool Fail(std::string message) { return Fail(StatusCode::kInvalidArgument, std::move(message)); }
  bool FailSyntax(std::string_view message);
  // True if the last error was that the text is not JSON.
  bool has_bad_syntax() const { return has_bad_syntax_; }
  // Reports that the value here is wrong: "JSON Value: ", its text, and `what`.
  bool FailValue(std::string_view what);
  // Reports that the value here is not of the type `expected`, for example "float".
  bool FailType(std::string_view expected);
  // Reports that the value here, of the key "signature_name", is no string. Quotes the document, as
  // TensorFlow Serving does.
  bool FailSignatureName();
  bool FailDepth();
  const Status& error() const { return error_; }
  // Do not use it for text that is not JSON.
  void set_error(Status error) {
    error_ = std::move(error);
    has_bad_syntax_ = false;
  }
  Status TakeError() { return std::exchange(error_, OkStatus()); }

  // The owner of the views that were read.
  BufferRef StringOwner() const { return arena_ ? BufferRef(arena_) : text_.owner; }

 private:
  void SkipSpace();
  StringArena& arena();
  // Returns the first '"', backslash or control character from `at` on, or the end.
  const char* FindStringEnd(const char* at, bool& has_high_bit) const;
  bool ReadEscapedString(const char* first, std::string_view& out);
  bool ReadEscape(const char*& at, char*& to);
  bool ReadHex4(const char*& at, uint32_t& out);
  bool SkipScalar();
  // The position of `at_`: "at line 1, column 17".
  std::string Position() const;

  const char* begin_;
  const char* at_;
  const char* end_;
  int depth_max_;
  Slice text_;
  BufferRef arena_;  // a StringArena, created on first use
  Status error_;
  bool has_bad_syntax_ = false;
};

}  // namespace penstock::tfs_json
