// SPDX-License-Identifier: Apache-2.0
#include "frontends/tfs_rest/input_set.h"

#include <algorithm>

namespace penstock::tfs_rest {
namespace {

// With more inputs than this they are found by hashing.
constexpr size_t kLinearMax = 8;

// Puts where in the list the cursor's error happened before it. What is no JSON has no elements.
bool PrefixRowError(JsonCursor& cursor, int64_t row, std::string_view key) {
  if (cursor.has_bad_syntax()) return false;
  Status error = cursor.TakeError();
  const std::string where = key.empty() ? std::string() : fmt::format(" key: {}", key);
  cursor.set_error(Error(error.code(),
                         "Failed to process element: {}{} of 'instances' list. Error: {}", row,
                         where, MessageOf(error)));
  return false;
}

}  // namespace

InputSet::InputSet(const Signature* signature, const DecoderOptions& options, RequestMemory& memory)
    : signature_(signature), inputs_max_(options.inputs_max), memory_(memory) {
  if (signature == nullptr) return;
  inputs_.reserve(signature->inputs.size());
  for (const TensorSpec& spec : signature->inputs) Add(spec.name, spec.dtype, spec.optional);
}

InputSet::Input& InputSet::Add(std::string_view name, DType dtype, bool optional) {
  inputs_.emplace_back(name, dtype, optional, memory_);
  const size_t count = inputs_.size();
  if (count == kLinearMax + 1) {
    for (size_t i = 0; i < count; ++i) index_.emplace(inputs_[i].name, i);
  } else if (count > kLinearMax) {
    index_.emplace(name, count - 1);
  }
  return inputs_.back();
}

InputSet::Input* InputSet::Find(std::string_view name, size_t hint) {
  if (hint < inputs_.size() && inputs_[hint].name == name) return &inputs_[hint];
  if (inputs_.size() > kLinearMax) {
    const auto found = index_.find(name);
    return found == index_.end() ? nullptr : &inputs_[found->second];
  }
  const auto found =
      std::find_if(inputs_.begin(), inputs_.end(), [&](const Input& i) { return i.name == name; });
  return found == inputs_.end() ? nullptr : &*found;
}

InputSet::Input* InputSet::FindOrAdd(JsonCursor& cursor, std::string_view name, size_t hint) {
  if (Input* const input = Find(name, hint)) return input;
  if (signature_ != nullptr || rows_ > 0) {
    cursor.Fail(fmt::format("'{}' is not an input of the {}", name,
                            signature_ != nullptr ? "signature" : "first row"));
    return nullptr;
  }
  if (inputs_.size() >= inputs_max_) {
    cursor.Fail(fmt::format("the request has more than {} inputs", inputs_max_));
    return nullptr;
  }
  return &Add(name, DType::kInvalid, false);
}

InputSet::Input* InputSet::FindUnnamed(JsonCursor& cursor) {
  if (signature_ == nullptr) return &Add(kUnnamedInput, DType::kInvalid, false);
  if (inputs_.size() == 1) return &inputs_[0];
  // One that must be given, beside others that need not be.
  Input* only = nullptr;
  size_t needed = 0;
  for (Input& input : inputs_) {
    if (input.optional) continue;
    only = &input;
    ++needed;
  }
  if (needed == 1) return only;
  cursor.Fail(
      fmt::format("the signature has {} inputs, so each value must be an object with a key for "
                  "each input",
                  inputs_.size()));
  return nullptr;
}

bool InputSet::ReadRows(JsonCursor& cursor) {
  if (cursor.Peek() != '[') return cursor.FailType("list of instances");
  const char* const start = cursor.at();
  cursor.Advance();
  const char first = cursor.Peek();
  if (first == ']') return cursor.Fail("'instances' is an empty list: no rows to predict for");
  std::string_view encoded;
  const bool is_named = first == '{' && !cursor.ReadBase64Object(encoded);
  cursor.set_at(start);
  return is_named ? ReadNamedRows(cursor) : ReadUnnamedRows(cursor);
}

bool InputSet::ReadUnnamedRows(JsonCursor& cursor) {
  Input* const input = FindUnnamed(cursor);
  if (input == nullptr) return false;
  int64_t row = 0;
  // The list of rows is the outermost dimension.
  if (!ReadValue(cursor, input->builder, &row)) return PrefixRowError(cursor, row, {});
  input->builder.CountRow();
  return true;
}

bool InputSet::ReadNamedRows(JsonCursor& cursor) {
  has_rows_ = true;
  for (cursor.Advance();; cursor.Advance()) {
    if (!ReadNamedRow(cursor)) return false;
    ++rows_;
    const char next = cursor.Peek();
    if (next == ']') break;
    if (next != ',') return cursor.FailSyntax("expected ',' or ']'");
  }
  cursor.Advance();
  return true;
}

bool InputSet::ReadNamedRow(JsonCursor& cursor) {
  if (cursor.Peek() != '{') {
    cursor.FailType("object with a key for each input");
    return PrefixRowError(cursor, rows_, {});
  }
  size_t keys = 0;
  cursor.Advance();
  if (cursor.Peek() == '}') {
    if (inputs_.empty()) {
      cursor.Fail("the row is an object without keys");
      return PrefixRowError(cursor, rows_, {});
    }
    cursor.Advance();
    return CheckRow(cursor);
  }
  for (;;) {
    if (!ReadRowEntry(cursor, keys++)) return false;
    const char next = cursor.Peek();
    if (next == '}') break;
    if (!cursor.Expect(',', "',' or '}'")) return false;
  }
  cursor.Advance();
  return keys == inputs_.size() || CheckRow(cursor);
}

bool InputSet::ReadRowEntry(JsonCursor& cursor, size_t hint) {
  std::string_view key;
  if (!cursor.ReadString(key) || !cursor.Expect(':', "':'")) return false;
  Input* const input = FindOrAdd(cursor, key, hint);
  if (input == nullptr) return PrefixRowError(cursor, rows_, key);
  if (input->builder.rows() != rows_) {
    cursor.Fail(input->builder.rows() > rows_ ? "the key comes twice"
                                              : "the rows before have no such key");
    return PrefixRowError(cursor, rows_, key);
  }
  if (!ReadValue(cursor, input->builder)) return PrefixRowError(cursor, rows_, key);
  input->builder.CountRow();
  return true;
}

// Looks for inputs that the row, which has just ended, does not have.
bool InputSet::CheckRow(JsonCursor& cursor) {
  for (const Input& input : inputs_) {
    const int64_t rows = input.builder.rows();
    if (rows > rows_ || (input.optional && rows == 0)) continue;
    cursor.Fail(fmt::format("the row has no input '{}'", input.name));
    return PrefixRowError(cursor, rows_, {});
  }
  return true;
}

bool InputSet::ReadColumns(JsonCursor& cursor) {
  std::string_view encoded;
  const char* const start = cursor.at();
  const bool is_named = cursor.Peek() == '{' && !cursor.ReadBase64Object(encoded);
  cursor.set_at(start);
  if (is_named) return ReadNamedColumns(cursor);
  Input* const input = FindUnnamed(cursor);
  if (input == nullptr || !ReadValue(cursor, input->builder)) return false;
  input->builder.CountRow();
  return true;
}

bool InputSet::ReadNamedColumns(JsonCursor& cursor) {
  cursor.Advance();
  if (cursor.Peek() == '}') {
    cursor.Advance();
    return CheckColumns(cursor);
  }
  for (size_t hint = 0;; ++hint) {
    std::string_view key;
    if (!cursor.ReadString(key) || !cursor.Expect(':', "':'")) return false;
    // Keys that the signature has not are ignored, in this form only.
    Input* const input = signature_ != nullptr ? Find(key, hint) : FindOrAdd(cursor, key, hint);
    if (input == nullptr) {
      if (signature_ == nullptr || !cursor.SkipValue()) return false;
    } else {
      if (input->builder.rows() > 0)
        return cursor.Fail(fmt::format("the key '{}' comes twice", key));
      if (!ReadValue(cursor, input->builder)) {
        if (cursor.has_bad_syntax()) return false;
        const Status error = cursor.TakeError();
        cursor.set_error(Error(error.code(), "Failed to process key: {} of 'inputs'. Error: {}",
                               key, MessageOf(error)));
        return false;
      }
      input->builder.CountRow();
      input->builder.ReturnUnused();
    }
    if (cursor.Peek() == '}') break;
    if (!cursor.Expect(',', "',' or '}'")) return false;
  }
  cursor.Advance();
  return CheckColumns(cursor);
}

bool InputSet::CheckColumns(JsonCursor& cursor) {
  for (const Input& input : inputs_) {
    if (input.builder.rows() > 0 || input.optional) continue;
    return cursor.Fail(fmt::format("Missing named input: {} in 'inputs' object", input.name));
  }
  return true;
}

Status InputSet::Finish(const BufferRef& string_owner, NamedTensors& inputs) {
  inputs.clear();
  for (Input& input : inputs_) {
    if (input.builder.rows() == 0) continue;  // optional, and left out
    ASSIGN_OR_RETURN(Tensor tensor, input.builder.Finish(string_owner, has_rows_));
    inputs.push_back({input.name, std::move(tensor)});
  }
  return OkStatus();
}

}  // namespace penstock::tfs_rest
