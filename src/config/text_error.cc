// SPDX-License-Identifier: Apache-2.0
// Protobuf's errors have no structure, so their known forms are recognized by their texts. The text
// is read again up to the error, to learn which message and which field it is about.
#include "config/text_error.h"

#include <fmt/format.h>
#include <google/protobuf/descriptor.h>
#include <google/protobuf/io/tokenizer.h>
#include <google/protobuf/io/zero_copy_stream_impl_lite.h>

#include <algorithm>
#include <array>
#include <compare>
#include <vector>

#include "base/options/nearest_name.h"

namespace penstock {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::io::Tokenizer;

// The most names that an error lists.
constexpr int kNamesMax = 16;

// A position as protobuf counts it.
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

// Ignores errors: the parser has reported them. Thread-safe, without state.
class NoErrors final : public google::protobuf::io::ErrorCollector {
 public:
  void AddError(int, google::protobuf::io::ColumnNumber, const std::string&) override {}
};

// Where in the schema an error is. One thread at a time.
class Place final {
 public:
  Place(const Descriptor& root, std::string_view text, TextPosition error) : message_(&root) {
    google::protobuf::io::ArrayInputStream stream(text.data(), static_cast<int>(text.size()));
    NoErrors ignored;
    Tokenizer tokens(&stream, &ignored);
    tokens.set_comment_style(Tokenizer::SH_COMMENT_STYLE);
    while (tokens.Next()) {
      const Tokenizer::Token& token = tokens.current();
      if (TextPosition{token.line, token.column} >= error) return;
      Take(token);
    }
  }

  // The field whose value is here, or the last one before. Null: none in this message.
  const FieldDescriptor* field() const { return field_; }
  // True between a field's name and the end of its first value.
  bool is_value() const { return last_ == ":" || last_ == "["; }
  // Of the last word before the error.
  TextPosition last_position() const { return last_position_; }
  const std::string& last_word() const { return last_; }

 private:
  struct Outer {
    const Descriptor* message;
    const FieldDescriptor* field;
  };

  void Take(const Tokenizer::Token& token) {
    const bool opens = token.text == "{" || token.text == "<";
    if ((opens || token.text == ":") && last_is_name_)
      field_ = message_ == nullptr ? nullptr : message_->FindFieldByName(last_);
    if (opens) {
      outer_.push_back({message_, field_});
      message_ = field_ == nullptr ? nullptr : field_->message_type();
      field_ = nullptr;
    } else if ((token.text == "}" || token.text == ">") && !outer_.empty()) {
      message_ = outer_.back().message;
      field_ = outer_.back().field;
      outer_.pop_back();
    }
    last_ = token.text;
    last_is_name_ = token.type == Tokenizer::TYPE_IDENTIFIER;
    last_position_ = {token.line, token.column};
  }

  const Descriptor* message_;  // null: a type that the schema does not have
  const FieldDescriptor* field_ = nullptr;
  std::vector<Outer> outer_;
  std::string last_;
  bool last_is_name_ = false;
  TextPosition last_position_;
};

// Returns "a, b or c".
std::string Choice(const std::vector<std::string_view>& names) {
  std::string text;
  const size_t shown = std::min<size_t>(names.size(), kNamesMax);
  for (size_t i = 0; i < shown; ++i) {
    if (i > 0) text += i + 1 == names.size() ? " or " : ", ";
    text += names[i];
  }
  if (shown < names.size()) text += fmt::format(" or one of {} more", names.size() - shown);
  return text;
}

std::string FieldHint(const Descriptor& message, std::string_view wrong) {
  std::vector<std::string_view> names;
  for (int i = 0; i < message.field_count(); ++i) names.push_back(message.field(i)->name());
  const std::string_view nearest = NearestName(wrong, names);
  if (!nearest.empty()) return fmt::format("; did you mean \"{}\"?", nearest);
  return names.empty() ? "; it has no fields" : fmt::format("; say {}", Choice(names));
}

std::string EnumHint(const FieldDescriptor& field) {
  std::vector<std::string_view> names;
  for (int i = 0; i < field.enum_type()->value_count(); ++i) {
    const std::string_view name = field.enum_type()->value(i)->name();
    if (!name.ends_with("_UNSPECIFIED")) names.push_back(name);
  }
  return fmt::format("; say {}", Choice(names));
}

// Returns what stands between the quotes after `start`; empty if `text` does not begin with that.
std::string_view QuotedAfter(std::string_view text, std::string_view start) {
  if (!text.starts_with(start)) return {};
  text.remove_prefix(start.size());
  return text.substr(0, text.find('"'));
}

// Texts of protobuf that have no words of the file.
bool IsFixed(std::string_view reason) {
  constexpr std::array<std::string_view, 6> kStarts = {
      "String literals cannot cross", "Unexpected end of string", "Invalid escape sequence",
      "Invalid control characters",   "Need space between",       "Message is too deep"};
  return std::any_of(kStarts.begin(), kStarts.end(),
                     [&](std::string_view start) { return reason.starts_with(start); });
}

// What is wrong with a value or with the syntax. `field` may be null.
std::string WrongSyntax(std::string_view reason, const Place& place, TextWords words) {
  std::string text(reason);
  if (words == TextWords::kHidden && !IsFixed(reason)) {
    const size_t end =
        std::min({reason.find(", got: "), reason.find(", found "), reason.find(" (")});
    const bool is_known = reason.starts_with("Expected ") || reason.starts_with("Integer out of");
    text = is_known && end != reason.npos ? std::string(reason.substr(0, end)) : "Wrong syntax";
  }
  if (place.field() == nullptr) return text;
  return fmt::format("{}, {} the field \"{}\"", text, place.is_value() ? "for" : "after",
                     place.field()->name());
}

// The parts of an error.
struct Explanation {
  std::string text;
  bool is_about_last_word = false;  // protobuf reports it at the word after
};

Explanation Explain(const Descriptor& root, std::string_view reason, const Place& place,
                    TextWords words) {
  const bool is_hidden = words == TextWords::kHidden;
  const std::string_view type = QuotedAfter(reason, "Message type \"");
  const Descriptor* const message =
      type.empty() ? nullptr : root.file()->pool()->FindMessageTypeByName(std::string(type));
  if (message != nullptr) {
    const std::string hint = FieldHint(*message, place.last_word());
    if (!is_hidden) return {fmt::format("{}{}", reason, hint), true};
    return {fmt::format("Message type \"{}\" has no field of this name{}", type, hint), true};
  }
  const FieldDescriptor* const field = place.field();
  if (field != nullptr && reason.starts_with("Unknown enumeration value") &&
      field->enum_type() != nullptr) {
    const std::string text =
        is_hidden ? fmt::format("Unknown enumeration value for field \"{}\"", field->name())
                  : std::string(reason);
    return {text + EnumHint(*field), true};
  }
  if (field != nullptr && reason.starts_with("Invalid value for boolean field")) {
    const size_t shown = is_hidden ? reason.find(". Value: ") : reason.npos;
    return {fmt::format("{}; say true or false", reason.substr(0, shown)), true};
  }
  // These two have only names of known fields.
  if (reason.starts_with("Non-repeated field") || reason.starts_with("Field \""))
    return {std::string(reason), true};
  return {WrongSyntax(reason, place, words), false};
}

}  // namespace

std::string ExplainTextError(const Descriptor& root, std::string_view text, const TextError& error,
                             TextWords words) {
  TextPosition position{error.line, error.column};
  const bool is_at_end = position >= EndOf(text);
  const Place place(root, text, position);
  std::string_view reason = error.reason;
  if (reason.ends_with('.')) reason.remove_suffix(1);  // more text follows
  const Explanation explained = Explain(root, reason, place, words);
  if (explained.is_about_last_word) position = place.last_position();
  std::string result =
      fmt::format("{}:{}: {}", position.line + 1, position.column + 1, explained.text);
  // Protobuf only says which token it expected. At the end of the text that hides the cause.
  if (is_at_end) result += " (the text ends here: it is cut short, or a '}' is missing)";
  return result;
}

}  // namespace penstock
