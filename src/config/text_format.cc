// SPDX-License-Identifier: Apache-2.0
#include "config/text_format.h"

#include <google/protobuf/io/tokenizer.h>
#include <google/protobuf/text_format.h>

#include <optional>
#include <set>
#include <string>
#include <vector>

namespace penstock {
namespace {

// Keeps the first error. One thread at a time.
class FirstError final : public google::protobuf::io::ErrorCollector {
 public:
  void AddError(int line, google::protobuf::io::ColumnNumber column,
                const std::string& message) override {
    if (!error_) error_ = {line, column, message};
  }
  // Without one, the parser has failed for no reason that it knows.
  TextError error() const { return error_.value_or(TextError{.reason = "Wrong syntax"}); }

 private:
  std::optional<TextError> error_;
};

using google::protobuf::Message;
using ParseInfoTree = google::protobuf::TextFormat::ParseInfoTree;

// Finds a key that comes twice in a map of our own messages. The parser would take the last value.
// TensorFlow Serving's messages stay as they are there. Call it before the maps are read: after
// that, each key is there once.
std::optional<TextError> FindRepeatedKey(const Message& message, const ParseInfoTree& places) {
  const google::protobuf::Reflection& fields = *message.GetReflection();
  std::vector<const google::protobuf::FieldDescriptor*> set;
  fields.ListFields(message, &set);
  for (const auto* field : set) {
    if (field->cpp_type() != google::protobuf::FieldDescriptor::CPPTYPE_MESSAGE) continue;
    const bool is_own_map = field->is_map() && field->file()->package().starts_with("penstock") &&
                            field->message_type()->map_key()->cpp_type() ==
                                google::protobuf::FieldDescriptor::CPPTYPE_STRING;
    std::set<std::string> keys;
    const int count = field->is_repeated() ? fields.FieldSize(message, field) : 1;
    for (int i = 0; i < count; ++i) {
      const int at = field->is_repeated() ? i : -1;
      const Message& part = field->is_repeated() ? fields.GetRepeatedMessage(message, field, i)
                                                 : fields.GetMessage(message, field);
      if (is_own_map) {
        std::string key = part.GetReflection()->GetString(part, field->message_type()->map_key());
        if (keys.insert(key).second) continue;
        const auto place = places.GetLocation(field, at);
        return TextError{
            place.line, place.column,
            fmt::format(
                "the key \"{}\" of \"{}\" is there twice: it has one value{}", key, field->name(),
                field->name() == "outputs" ? ", a tensor that any number of steps may take" : "")};
      }
      if (field->is_map()) continue;
      const ParseInfoTree* const inner = places.GetTreeForNested(field, at);
      if (inner == nullptr) continue;
      if (auto error = FindRepeatedKey(part, *inner)) return error;
    }
  }
  return std::nullopt;
}

}  // namespace

Status ParseTextFormat(std::string_view text, std::string_view file,
                       google::protobuf::Message& message, TextWords words) {
  FirstError error;
  google::protobuf::TextFormat::Parser parser;
  parser.RecordErrorsTo(&error);
  ParseInfoTree places;
  parser.WriteLocationsTo(&places);
  const bool is_parsed = parser.ParseFromString(std::string(text), &message);
  std::optional<TextError> repeated;
  if (is_parsed) repeated = FindRepeatedKey(message, places);
  if (is_parsed && !repeated) return OkStatus();
  const google::protobuf::Descriptor& type = *message.GetDescriptor();
  const std::string fault = repeated ? fmt::format("{}:{}: {}", repeated->line + 1,
                                                   repeated->column + 1, repeated->reason)
                                     : ExplainTextError(type, text, error.error(), words);
  // The message has two sentences of TensorFlow Serving, because scripts that start it search for
  // either.
  return InvalidArgument("Invalid protobuf file: '{}': Error parsing text-format {}: {}", file,
                         type.full_name(), fault);
}

}  // namespace penstock
