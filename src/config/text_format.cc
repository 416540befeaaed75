// SPDX-License-Identifier: Apache-2.0
#include "config/text_format.h"

#include <google/protobuf/io/tokenizer.h>
#include <google/protobuf/text_format.h>

#include <compare>
#include <string>

namespace penstock {
namespace {

// A position as protobuf counts it: from 0, and a tab moves to the next multiple of 8.
struct TextPosition {
  int line = 0;
  int column = 0;
  auto operator<=>(const TextPosition&) const = default;
};

// The position after the last character that is not white space.
TextPosition EndOf(std::string_view text) {
  text = text.substr(0, text.find_last_not_of(" \t\r\n") + 1);
  TextPosition end;
  for (const char c : text) {
    if (c == '\n') {
      end = {end.line + 1, 0};
    } else {
      end.column += c == '\t' ? 8 - end.column % 8 : 1;
    }
  }
  return end;
}

// Keeps the first error. One thread at a time.
class FirstError final : public google::protobuf::io::ErrorCollector {
 public:
  explicit FirstError(std::string_view text) : end_(EndOf(text)) {}
  void AddError(int line, google::protobuf::io::ColumnNumber column,
                const std::string& message) override {
    if (!text_.empty()) return;
    std::string_view reason = message;
    if (reason.ends_with('.')) reason.remove_suffix(1);  // the caller appends more text
    text_ = fmt::format("{}:{}: {}", line + 1, column + 1, reason);
    // Protobuf only says which token it expected. At the end of the text that hides the cause.
    if (TextPosition{line, column} >= end_)
      text_ += " (the text ends here: it is cut short, or a '}' is missing)";
  }
  const std::string& text() const { return text_; }

 private:
  const TextPosition end_;
  std::string text_;
};

}  // namespace

Status ParseTextFormat(std::string_view text, std::string_view file,
                       google::protobuf::Message& message) {
  FirstError error(text);
  google::protobuf::TextFormat::Parser parser;
  parser.RecordErrorsTo(&error);
  if (parser.ParseFromString(std::string(text), &message)) return OkStatus();
  // The message has two sentences of TensorFlow Serving, because scripts that start it search for
  // either.
  return InvalidArgument("Invalid protobuf file: '{}': Error parsing text-format {}: {}", file,
                         message.GetDescriptor()->full_name(), error.text());
}

}  // namespace penstock
