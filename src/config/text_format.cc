// SPDX-License-Identifier: Apache-2.0
#include "config/text_format.h"

#include <google/protobuf/io/tokenizer.h>
#include <google/protobuf/text_format.h>

#include <optional>
#include <string>

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

}  // namespace

Status ParseTextFormat(std::string_view text, std::string_view file,
                       google::protobuf::Message& message, TextWords words) {
  FirstError error;
  google::protobuf::TextFormat::Parser parser;
  parser.RecordErrorsTo(&error);
  if (parser.ParseFromString(std::string(text), &message)) return OkStatus();
  const google::protobuf::Descriptor& type = *message.GetDescriptor();
  // The message has two sentences of TensorFlow Serving, because scripts that start it search for
  // either.
  return InvalidArgument("Invalid protobuf file: '{}': Error parsing text-format {}: {}", file,
                         type.full_name(), ExplainTextError(type, text, error.error(), words));
}

}  // namespace penstock
