// SPDX-License-Identifier: Apache-2.0
// A plain JSON reader that builds a tree, to compare the server's reader with. It reads what
// TensorFlow Serving's reader accepts: also NaN and Infinity, and anything after the value.
#pragma once

#include <cctype>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/utf8.h"

namespace penstock::json_tree {

struct Member;

// One JSON value. Immutable once it was read.
struct Value {
  enum class Kind { kNull, kBool, kNumber, kString, kList, kObject };
  Kind kind = Kind::kNull;
  std::string text;             // a number as written, or a decoded string
  bool boolean = false;         // of kBool
  std::vector<Value> items;     // of kList
  std::vector<Member> members;  // of kObject, in the order of the text

  bool IsList() const { return kind == Kind::kList; }
  bool IsObject() const { return kind == Kind::kObject; }
  bool IsString() const { return kind == Kind::kString; }
  // True for {"b64": "..."}, which stands for a string.
  bool IsBase64() const;
};

struct Member {
  std::string key;
  Value value;
};

inline bool Value::IsBase64() const {
  return IsObject() && members.size() == 1 && members[0].key == "b64" &&
         members[0].value.IsString();
}

// Reads one text. One thread at a time.
class Parser final {
 public:
  // `text` must outlive it.
  explicit Parser(std::string_view text) : rest_(text) {}

  // Returns none if the text is not JSON, or too deep.
  std::optional<Value> Parse() {
    Value value;
    SkipSpace();
    if (rest_.starts_with("\xEF\xBB\xBF")) rest_.remove_prefix(3);
    if (!ReadValue(value, 0)) return std::nullopt;
    return value;
  }
  // True if the text is nested so deep that the server's limit may refuse it.
  bool is_too_deep() const { return is_too_deep_; }

 private:
  static constexpr int kDepthMax = 60;

  char Next() const { return rest_.empty() ? '\0' : rest_.front(); }
  void SkipSpace() {
    while (!rest_.empty() && std::string_view(" \t\r\n").find(rest_[0]) != rest_.npos) {
      rest_.remove_prefix(1);
    }
  }
  bool Take(std::string_view token) {
    if (!rest_.starts_with(token)) return false;
    rest_.remove_prefix(token.size());
    return true;
  }

  bool ReadValue(Value& value, int depth) {
    if (depth > kDepthMax) {
      is_too_deep_ = true;
      return false;
    }
    SkipSpace();
    switch (Next()) {
      case '[':
        value.kind = Value::Kind::kList;
        return ReadList(value, depth);
      case '{':
        value.kind = Value::Kind::kObject;
        return ReadObject(value, depth);
      case '"':
        value.kind = Value::Kind::kString;
        return ReadString(value.text);
      default:
        return ReadWord(value);
    }
  }

  bool ReadList(Value& value, int depth) {
    Take("[");
    SkipSpace();
    if (Take("]")) return true;
    do {
      if (!ReadValue(value.items.emplace_back(), depth + 1)) return false;
      SkipSpace();
    } while (Take(","));
    return Take("]");
  }

  bool ReadObject(Value& value, int depth) {
    Take("{");
    SkipSpace();
    if (Take("}")) return true;
    do {
      auto& [key, member] = value.members.emplace_back();
      SkipSpace();
      if (!ReadString(key)) return false;
      SkipSpace();
      if (!Take(":") || !ReadValue(member, depth + 1)) return false;
      SkipSpace();
    } while (Take(","));
    return Take("}");
  }

  bool ReadWord(Value& value) {
    if (Take("null")) return true;
    value.kind = Value::Kind::kBool;
    value.boolean = Take("true");
    if (value.boolean || Take("false")) return true;
    value.kind = Value::Kind::kNumber;
    if (Take("-")) value.text = "-";
    for (const std::string_view word : {"NaN", "Infinity", "Inf"}) {
      if (!Take(word)) continue;
      value.text += word;
      return true;
    }
    return ReadNumber(value.text);
  }

  bool ReadDigits(std::string& text) {
    const size_t before = text.size();
    while (Next() >= '0' && Next() <= '9') {
      text += Next();
      rest_.remove_prefix(1);
    }
    return text.size() > before;
  }

  bool ReadNumber(std::string& text) {
    const bool has_zero = Next() == '0';
    const size_t first = text.size();
    if (!ReadDigits(text) || (has_zero && text.size() > first + 1)) return false;
    if (Take(".")) {
      text += '.';
      if (!ReadDigits(text)) return false;
    }
    if (!Take("e") && !Take("E")) return true;
    text += 'e';
    if (Next() == '+' || Next() == '-') {
      text += Next();
      rest_.remove_prefix(1);
    }
    return ReadDigits(text);
  }

  bool ReadString(std::string& text) {
    if (!Take("\"")) return false;
    while (!Take("\"")) {
      if (static_cast<unsigned char>(Next()) < ' ') return false;  // also at the end
      if (Take("\\")) {
        if (!ReadEscape(text)) return false;
        continue;
      }
      const size_t length = Utf8Length(rest_);
      if (length == 0) return false;
      text += rest_.substr(0, length);
      rest_.remove_prefix(length);
    }
    return true;
  }

  bool ReadEscape(std::string& text) {
    const char name = Next();
    if (name == '\0') return false;
    rest_.remove_prefix(1);
    const size_t index = std::string_view("\"\\/bfnrt").find(name);
    if (index != std::string_view::npos) {
      text += "\"\\/\b\f\n\r\t"[index];
      return true;
    }
    uint32_t code = 0, low = 0;
    if (name != 'u' || !ReadHex(code)) return false;
    if (code >= 0xDC00 && code < 0xE000) return false;
    if (code >= 0xD800 && code < 0xDC00) {
      if (!Take("\\u") || !ReadHex(low) || low < 0xDC00 || low >= 0xE000) return false;
      code = 0x10000 + (code - 0xD800) * 0x400 + (low - 0xDC00);
    }
    AppendUtf8(code, text);
    return true;
  }

  bool ReadHex(uint32_t& code) {
    if (rest_.size() < 4) return false;
    for (const char c : rest_.substr(0, 4)) {
      if (std::isxdigit(static_cast<unsigned char>(c)) == 0) return false;
    }
    code = static_cast<uint32_t>(std::stoul(std::string(rest_.substr(0, 4)), nullptr, 16));
    rest_.remove_prefix(4);
    return true;
  }

  static void AppendUtf8(uint32_t code, std::string& text) {
    const auto add = [&text](uint32_t byte) { text += static_cast<char>(byte); };
    if (code < 0x80) {
      add(code);
    } else if (code < 0x800) {
      add(0xC0 | code >> 6);
      add(0x80 | (code & 0x3F));
    } else if (code < 0x10000) {
      add(0xE0 | code >> 12);
      add(0x80 | (code >> 6 & 0x3F));
      add(0x80 | (code & 0x3F));
    } else {
      add(0xF0 | code >> 18);
      add(0x80 | (code >> 12 & 0x3F));
      add(0x80 | (code >> 6 & 0x3F));
      add(0x80 | (code & 0x3F));
    }
  }

  std::string_view rest_;
  bool is_too_deep_ = false;
};

}  // namespace penstock::json_tree
