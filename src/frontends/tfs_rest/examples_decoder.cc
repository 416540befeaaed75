// SPDX-License-Identifier: Apache-2.0
// How it works. The body is read once, from front to back, and each value is written at once as
// protobuf's wire format (MessageBuilder). The result is the request that a gRPC client would have
// sent. So the rules for Examples are in one place, and a model that parses serialized Examples
// gets them.
//
// JSON has fewer types than Example, so the text of a number decides: with a point or an exponent
// it is a float, else an int64. true and false are 1 and 0. A string is bytes, and so is {"b64":
// ...}. The first value of a list decides for all, as in TensorFlow Serving. The texts of errors
// are its texts, too.
#include "frontends/tfs_rest/examples_decoder.h"

#include <optional>

#include "frontends/tfs_rest/message_builder.h"
#include "protocols/tfs/example_input.h"
#include "protocols/tfs/feature_values.h"
#include "protocols/tfs_json/json_cursor.h"
#include "protocols/tfs_json/json_number.h"

namespace penstock::tfs_rest {
namespace {

using tfs::FeatureKind;
using tfs_json::Decimal;

// One value of a feature. Strings are views of the body or of the cursor's arena.
struct Value {
  FeatureKind kind = FeatureKind::kNone;
  int64_t integer = 0;
  float number = 0;
  std::string_view bytes = {};
};

// Reads one body. Functions that return false have set the cursor's error. One thread at a time.
class ExamplesDecoder final {
 public:
  ExamplesDecoder(const Slice& body, const tfs_json::DecoderOptions& options, RequestMemory& memory)
      : cursor_(body, options.depth_max), builder_(memory) {}

  StatusOr<Slice> Decode();

 private:
  bool ReadDocument();
  bool ReadKey();
  bool ReadSignatureName();
  bool ReadExamples();
  bool ReadContext();
  bool ReadExample(uint32_t field);
  bool ReadFeatures();
  bool ReadFeature(std::string_view name);
  bool ReadList(std::string_view name);
  bool ReadValues(std::string_view name, bool is_list);
  bool ReadValue(std::string_view name, Value& value);
  bool ReadNumber(std::string_view name, Value& value);
  bool Write(const Value& value);
  bool FailElement(std::string_view name, std::string_view kind);
  // Reports why the builder has failed.
  bool FailBuilder() {
    cursor_.set_error(builder_.status());
    return false;
  }

  tfs_json::JsonCursor cursor_;
  MessageBuilder builder_;
  std::optional<std::string_view> signature_name_;
  bool has_examples_ = false;
  bool has_context_ = false;
};

bool ExamplesDecoder::FailElement(std::string_view name, std::string_view kind) {
  return cursor_.Fail(
      fmt::format("Feature: {:.100} has element with unexpected JSON type: {}", name, kind));
}

bool ExamplesDecoder::ReadNumber(std::string_view name, Value& value) {
  const char* const start = cursor_.at();
  Decimal decimal;
  if (!cursor_.ReadNumber(decimal)) {
    double special;
    if (!cursor_.ReadNonFinite(special)) return cursor_.FailSyntax("Invalid value.");
    value = {.kind = FeatureKind::kFloat, .number = static_cast<float>(special)};
    return true;
  }
  if (decimal.integer && tfs_json::ToInt64(decimal, value.integer)) {
    value.kind = FeatureKind::kInt64;
    return true;
  }
  // Between the limits of int64 and uint64. As a float the value would change without a word.
  if (uint64_t too_large; decimal.integer && tfs_json::ToUint64(decimal, too_large)) {
    cursor_.set_at(start);
    return cursor_.Fail(
        fmt::format("Feature: {:.100} has uint64 element. Only int64 is supported.", name));
  }
  value = {.kind = FeatureKind::kFloat, .number = tfs_json::ToFloat32(decimal)};
  return true;
}

bool ExamplesDecoder::ReadValue(std::string_view name, Value& value) {
  const char first = cursor_.Peek();
  if (first == '"') {
    value.kind = FeatureKind::kBytes;
    return cursor_.ReadString(value.bytes);
  }
  if (bool boolean; cursor_.ReadBool(boolean)) {
    value = {.kind = FeatureKind::kInt64, .integer = boolean ? 1 : 0};
    return true;
  }
  if (first == '{') {
    std::string_view encoded;
    if (!cursor_.ReadBase64Object(encoded)) return FailElement(name, "Object");
    value.kind = FeatureKind::kBytes;
    return cursor_.DecodeBase64(encoded, value.bytes);
  }
  if (first == '[') return FailElement(name, "Array");
  if (std::string_view(cursor_.at(), cursor_.bytes_left()).starts_with("null")) {
    return FailElement(name, "Null");
  }
  return ReadNumber(name, value);
}

bool ExamplesDecoder::Write(const Value& value) {
  switch (value.kind) {
    case FeatureKind::kBytes:
      return builder_.BytesField(1, value.bytes);
    case FeatureKind::kFloat:
      return builder_.Float(value.number);
    default:
      return builder_.Varint(static_cast<uint64_t>(value.integer));
  }
}

// Reads one value, or the values of a list up to its end. The first one decides the kind.
bool ExamplesDecoder::ReadValues(std::string_view name, bool is_list) {
  Value value;
  if (!ReadValue(name, value)) return false;
  const FeatureKind kind = value.kind;
  size_t list = 0, packed = 0;
  if (!builder_.Open(static_cast<uint32_t>(kind), list)) return FailBuilder();
  // Packed numbers need no tag for each value.
  const bool is_packed = kind != FeatureKind::kBytes;
  if (is_packed && !builder_.Open(1, packed)) return FailBuilder();
  for (;;) {
    if (!Write(value)) return FailBuilder();
    if (!is_list || cursor_.Peek() == ']') break;
    if (!cursor_.Expect(',', "',' or ']'")) return false;
    cursor_.Peek();
    const char* const at = cursor_.at();
    if (!ReadValue(name, value)) return false;
    if (value.kind == kind) continue;
    cursor_.set_at(at);
    return cursor_.Fail(
        fmt::format("Unexpected element type in feature: {:.100} expecting type: {}", name,
                    tfs::FeatureKindName(kind)));
  }
  if (is_packed) builder_.Close(packed);
  builder_.Close(list);
  return true;
}

bool ExamplesDecoder::ReadFeature(std::string_view name) {
  size_t entry = 0, feature = 0;
  if (!builder_.Open(1, entry) || !builder_.BytesField(1, name) || !builder_.Open(2, feature)) {
    return FailBuilder();
  }
  if (cursor_.Peek() == '[') {
    cursor_.Advance();
    // An empty list has no type, and so no values of any.
    if (cursor_.Peek() != ']' && !ReadValues(name, /*is_list=*/true)) return false;
    cursor_.Advance();
  } else if (!ReadValues(name, /*is_list=*/false)) {
    return false;
  }
  builder_.Close(feature);
  builder_.Close(entry);
  return true;
}

bool ExamplesDecoder::ReadFeatures() {
  cursor_.Advance();
  if (cursor_.Peek() == '}') {
    cursor_.Advance();
    return true;
  }
  for (;;) {
    std::string_view name;
    if (!cursor_.ReadString(name) || !cursor_.Expect(':', "':'") || !ReadFeature(name)) {
      return false;
    }
    if (cursor_.Peek() == '}') break;
    if (!cursor_.Expect(',', "',' or '}'")) return false;
  }
  cursor_.Advance();
  return true;
}

// Reads an object as an Example, the field `field` of a list.
bool ExamplesDecoder::ReadExample(uint32_t field) {
  if (cursor_.Peek() != '{') {
    return cursor_.FailValue("Example must be JSON object, with a key for each feature");
  }
  size_t example = 0, features = 0;
  if (!builder_.Open(field, example) || !builder_.Open(1, features)) return FailBuilder();
  if (!ReadFeatures()) return false;
  builder_.Close(features);
  builder_.Close(example);
  return true;
}

// The lists with context of an Input are merged, so the context and the Examples each get one of
// their own, in whatever order they come.
bool ExamplesDecoder::ReadContext() {
  if (has_context_) return cursor_.Fail("the key 'context' comes twice");
  has_context_ = true;
  size_t input = 0, list = 0;
  if (!builder_.Open(tfs::kInputField, input) || !builder_.Open(tfs::kListWithContextField, list)) {
    return FailBuilder();
  }
  if (!ReadExample(tfs::kContextField)) return false;
  builder_.Close(list);
  builder_.Close(input);
  return true;
}

bool ExamplesDecoder::ReadExamples() {
  if (has_examples_) return cursor_.Fail("the key 'examples' comes twice");
  has_examples_ = true;
  if (cursor_.Peek() != '[') {
    return cursor_.FailValue("Expecting 'examples' value to be an list/array");
  }
  cursor_.Advance();
  if (cursor_.Peek() == ']') return cursor_.Fail("'examples' value is an empty array");
  size_t input = 0, list = 0;
  if (!builder_.Open(tfs::kInputField, input) || !builder_.Open(tfs::kListWithContextField, list)) {
    return FailBuilder();
  }
  for (;;) {
    if (!ReadExample(tfs::kExamplesField)) return false;
    if (cursor_.Peek() == ']') break;
    if (!cursor_.Expect(',', "',' or ']'")) return false;
  }
  cursor_.Advance();
  builder_.Close(list);
  builder_.Close(input);
  return true;
}

bool ExamplesDecoder::ReadSignatureName() {
  if (signature_name_) return cursor_.Fail("the key 'signature_name' comes twice");
  std::string_view name;
  if (cursor_.Peek() != '"') return cursor_.FailSignatureName();
  if (!cursor_.ReadString(name)) return false;
  signature_name_ = name;
  return true;
}

bool ExamplesDecoder::ReadKey() {
  std::string_view key;
  if (!cursor_.ReadString(key) || !cursor_.Expect(':', "':'")) return false;
  if (key == "examples") return ReadExamples();
  if (key == "context") return ReadContext();
  if (key == "signature_name") return ReadSignatureName();
  return cursor_.SkipValue();
}

bool ExamplesDecoder::ReadDocument() {
  cursor_.Peek();
  cursor_.SkipByteOrderMark();
  const char first = cursor_.Peek();
  if (cursor_.AtEnd()) return cursor_.Fail("JSON Parse error: The document is empty");
  if (first != '{') return cursor_.FailValue("Is not object, as the body of a request must be");
  cursor_.Advance();
  if (cursor_.Peek() == '}') return true;
  for (;;) {
    if (!ReadKey()) return false;
    // TensorFlow Serving ignores what follows the object. So does this.
    if (cursor_.Peek() == '}') return true;
    if (!cursor_.Expect(',', "',' or '}'")) return false;
  }
}

StatusOr<Slice> ExamplesDecoder::Decode() {
  if (!ReadDocument()) return cursor_.error();
  if (!has_examples_) {
    return absl::InvalidArgumentError(
        "When method is classify, key 'examples' is expected and was not found. :classify and "
        ":regress both need it, as in {\"examples\": [{\"age\": 5}]}");
  }
  size_t spec = 0;
  // The ModelSpec comes last, since "signature_name" may come last. Protobuf reads fields in any
  // order. It is written even if it is empty, because a request must have one.
  if (!builder_.Open(1, spec)) return builder_.status();
  if (signature_name_ && !builder_.BytesField(3, *signature_name_)) return builder_.status();
  builder_.Close(spec);
  return builder_.Finish();
}

}  // namespace

StatusOr<Slice> DecodeExamples(const Slice& body, const tfs_json::DecoderOptions& options,
                               RequestMemory& memory) {
  return ExamplesDecoder(body, options, memory).Decode();
}

}  // namespace penstock::tfs_rest
