// SPDX-License-Identifier: Apache-2.0
// How the inputs are collected. Values go straight into one TensorBuilder for each input, with no
// tree of JSON values between, so a good request is walked once. Therefore a bad request leaves
// nothing from which to explain the error: the functions Fail... and ExplainRow walk parts of the
// text again for that. The texts of errors are those of TensorFlow Serving, which clients and their
// tests compare.
#include "protocols/tfs_json/input_set.h"

#include <algorithm>
#include <optional>

namespace penstock::tfs_json {
namespace {

// More inputs than this are found by hashing.
constexpr size_t kLinearMax = 8;

// Prefixes the cursor's error with the position in the list. Not for text that is not JSON: it has
// no elements. TensorFlow Serving writes `lead` before all errors except that of wrong keys.
bool PrefixRowError(JsonCursor& cursor, int64_t row, std::string_view key,
                    std::string_view lead = "Error: ") {
  if (cursor.has_bad_syntax()) return false;
  Status error = cursor.TakeError();
  const std::string where = key.empty() ? std::string() : fmt::format(" key: {}", key);
  cursor.set_error(Error(error.code(), "Failed to process element: {}{} of 'instances' list. {}{}",
                         row, where, lead, MessageOf(error)));
  return false;
}

}  // namespace

InputSet::InputSet(const Signature* signature, size_t inputs_max, RequestMemory& memory)
    : signature_(signature), inputs_max_(inputs_max), memory_(memory) {
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
  // Most clients send the keys of all rows in the same order, often that of the signature. Then one
  // comparison is enough.
  if (hint < inputs_.size() && inputs_[hint].name == name) return &inputs_[hint];
  if (inputs_.size() > kLinearMax) {
    const auto found = index_.find(name);
    return found == index_.end() ? nullptr : &inputs_[found->second];
  }
  const auto found =
      std::find_if(inputs_.begin(), inputs_.end(), [&](const Input& i) { return i.name == name; });
  return found == inputs_.end() ? nullptr : &*found;
}

std::string InputSet::InputNames() const {
  constexpr size_t kNamesMax = 20;
  std::string names;
  for (size_t i = 0; i < std::min(inputs_.size(), kNamesMax); ++i)
    names += fmt::format("{}'{:.100}'", i > 0 ? ", " : "", inputs_[i].name);
  return inputs_.size() > kNamesMax ? names + ", ..." : names;
}

InputSet::Input* InputSet::FindOrAdd(JsonCursor& cursor, std::string_view name, size_t hint) {
  if (Input* const input = Find(name, hint)) return input;
  // After the first row no input may be added: it would have no value for the rows before.
  if (signature_ != nullptr || rows_ > 0) {
    std::string why = signature_ != nullptr ? signature_->WhyLeftOut(name) : "";
    if (why.empty()) why = "Its inputs: " + InputNames();
    cursor.Fail(
        fmt::format("JSON object: does not have named input: {}, which is no input of the {}. {}",
                    name, signature_ != nullptr ? "signature" : "first row", why));
    return nullptr;
  }
  if (inputs_.size() >= inputs_max_) {
    cursor.Fail(fmt::format("the request has more than {} inputs", inputs_max_));
    return nullptr;
  }
  return &Add(name, DType::kInvalid, false);
}

InputSet::Input* InputSet::FindUnnamed(JsonCursor& cursor, std::string_view plain) {
  if (signature_ == nullptr) return &Add(kUnnamedInput, DType::kInvalid, false);
  if (inputs_.size() == 1) return &inputs_[0];
  // The only input that is not optional, if there is exactly one.
  Input* only = nullptr;
  size_t needed = 0;
  for (Input& input : inputs_) {
    if (input.optional) continue;
    only = &input;
    ++needed;
  }
  if (needed == 1) return only;
  cursor.Fail(
      fmt::format("{} as multiple input tensors required as per tensorinfo_map: the signature has "
                  "{} inputs, so an object needs a key for each",
                  plain, inputs_.size()));
  return nullptr;
}

bool InputSet::ReadRows(JsonCursor& cursor) {
  if (cursor.Peek() != '[') return cursor.FailValue("Excepting 'instances' to be an list/array");
  const char* const start = cursor.at();
  cursor.Advance();
  const char first = cursor.Peek();
  if (first == ']')
    return cursor.Fail("No values in 'instances' array: there are no rows to predict for");
  std::string_view encoded;
  // An object whose only key is "b64" is a value, namely a string. Any other object is a row.
  const bool is_named = first == '{' && !cursor.ReadBase64Object(encoded);
  cursor.set_at(start);
  return is_named ? ReadNamedRows(cursor) : ReadUnnamedRows(cursor);
}

bool InputSet::ReadUnnamedRows(JsonCursor& cursor) {
  Input* const input =
      FindUnnamed(cursor, "instances is a plain list, but expecting list of objects");
  if (input == nullptr) return false;
  const char* const start = cursor.at();
  int64_t row = 0;
  // The list of rows is the outermost dimension.
  if (!ReadValue(cursor, input->builder, &row)) return FailUnnamedRow(cursor, *input, start, row);
  input->builder.CountRow();
  return true;
}

// Explains why the row `row` could not be read. The list of rows begins at `start`.
bool InputSet::FailUnnamedRow(JsonCursor& cursor, const Input& input, const char* start,
                              int64_t row) {
  if (cursor.has_bad_syntax()) return false;
  Status error = cursor.TakeError();
  cursor.set_at(start);
  cursor.Advance();
  bool is_found = true;
  // Nobody noted where rows begin, because that would cost all good requests time. So we count.
  for (int64_t i = 0; i < row && is_found; ++i)
    is_found = cursor.SkipValue() && cursor.Expect(',', "','");
  const char first = cursor.Peek();
  const char* const row_at = cursor.at();
  std::string_view encoded;
  // An object among plain rows. TensorFlow Serving has an error for that, and it comes before the
  // one that the builder has found.
  if (is_found && row > 0 && first == '{' && !cursor.ReadBase64Object(encoded)) {
    if (!cursor.SkipValue()) return false;
    cursor.set_at(row_at);
    return cursor.Fail(
        fmt::format("Expecting value/list but got object at item {} of input list", row));
  }
  cursor.set_error(std::move(error));
  const std::span<const int64_t> dims = input.builder.dims();
  if (is_found) ExplainRow(cursor, input, row_at, row, dims.empty() ? dims : dims.subspan(1));
  return PrefixRowError(cursor, row, {});
}

// Finds TensorFlow Serving's error for a wrong row. It reads each row alone, and then compares it
// with those before. So we read the row again: either it is wrong by itself, or its shape differs
// from `dims`.
void InputSet::ExplainRow(JsonCursor& cursor, const Input& input, const char* row_at, int64_t row,
                          std::span<const int64_t> dims) {
  // Other errors, such as a lack of memory, say enough, and may not come again.
  if (cursor.has_bad_syntax() || cursor.error().code() != StatusCode::kInvalidArgument) return;
  Status error = cursor.TakeError();
  TensorBuilder alone(input.builder.is_inferred() ? DType::kInvalid : input.builder.dtype(),
                      memory_);
  cursor.set_at(row_at);
  if (!ReadValue(cursor, alone)) {
    // The second reading takes memory of its own. If that is missing, the first error is the true
    // one.
    if (cursor.error().code() == StatusCode::kResourceExhausted) cursor.set_error(std::move(error));
    return;
  }
  // The row is right by itself, and agrees with those before. The first error knows more.
  if (row == 0 || std::equal(dims.begin(), dims.end(), alone.dims().begin(), alone.dims().end())) {
    cursor.set_error(std::move(error));
    return;
  }
  cursor.set_at(row_at);
  const Shape wanted(dims), got(alone.dims());
  const std::optional<int64_t> wanted_size = wanted.ElementCount(), size = got.ElementCount();
  if (wanted_size != size) {
    cursor.Fail(fmt::format(
        "Expecting tensor size: {} but got: {}; the rows before have the shape {}, this one {}",
        wanted_size.value_or(0), size.value_or(0), wanted.ToString(), got.ToString()));
  } else {
    cursor.Fail(fmt::format("Expecting shape {} but got: {}", wanted.ToString(), got.ToString()));
  }
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
  const char* const row_at = cursor.at();
  if (cursor.Peek() != '{') {
    // Text that is not JSON is the more serious error, so look for that first.
    if (!cursor.SkipValue()) return false;
    cursor.set_at(row_at);
    return cursor.Fail(fmt::format(
        "Expecting object but got list at item {} of input list: it must be an object with a key "
        "for each input",
        rows_));
  }
  size_t keys = 0;
  cursor.Advance();
  if (cursor.Peek() == '}') {
    if (inputs_.empty()) {
      cursor.Fail("the row is an object without keys");
      return PrefixRowError(cursor, rows_, {});
    }
    cursor.Advance();
    return CheckRow(cursor, row_at);
  }
  for (;;) {
    if (!ReadRowEntry(cursor, keys++)) return false;
    const char next = cursor.Peek();
    if (next == '}') break;
    if (!cursor.Expect(',', "',' or '}'")) return false;
  }
  cursor.Advance();
  // ReadRowEntry has refused unknown keys and repeated ones. So if the number is right, no key is
  // missing.
  return keys == inputs_.size() || CheckRow(cursor, row_at);
}

bool InputSet::ReadRowEntry(JsonCursor& cursor, size_t hint) {
  std::string_view key;
  if (!cursor.ReadString(key) || !cursor.Expect(':', "':'")) return false;
  Input* const input = FindOrAdd(cursor, key, hint);
  if (input == nullptr) return PrefixRowError(cursor, rows_, key);
  // Each input has exactly one value for each row before this one.
  if (input->builder.rows() != rows_) {
    cursor.Fail(input->builder.rows() > rows_ ? "the key comes twice"
                                              : "the rows before have no such key");
    return PrefixRowError(cursor, rows_, key);
  }
  // Skips white space, so that `value_at` is where the value begins.
  cursor.Peek();
  const char* const value_at = cursor.at();
  if (!ReadValue(cursor, input->builder)) {
    ExplainRow(cursor, *input, value_at, rows_, input->builder.dims());
    return PrefixRowError(cursor, rows_, key);
  }
  input->builder.CountRow();
  return true;
}

// Checks that the row, which began at `row_at` and has just ended, has all inputs.
bool InputSet::CheckRow(JsonCursor& cursor, const char* row_at) {
  for (const Input& input : inputs_) {
    const int64_t rows = input.builder.rows();
    // An optional input is in all rows or in none: a tensor cannot have gaps.
    if (rows > rows_ || (input.optional && rows == 0)) continue;
    return FailKeys(cursor, row_at, input.name);
  }
  return true;
}

// Reports that the row at `row_at` does not have the right keys.
bool InputSet::FailKeys(JsonCursor& cursor, const char* row_at, std::string_view missing) {
  // Some signatures have hundreds of inputs.
  constexpr size_t kListedMax = 20;
  cursor.set_at(row_at);
  const std::optional<std::string> row = cursor.QuoteValue();
  if (!row) return false;
  std::string keys;
  size_t listed = 0;
  for (const Input& input : inputs_) {
    if (input.optional) continue;
    if (listed > 0) keys += ',';
    keys += listed < kListedMax ? std::string_view(input.name).substr(0, 100) : "...";
    if (++listed > kListedMax) break;
  }
  cursor.Fail(
      fmt::format("JSON object: {} keys must be equal to: {}; the row has no input '{:.100}'", *row,
                  keys, missing));
  return PrefixRowError(cursor, rows_, {}, "");
}

bool InputSet::ReadColumns(JsonCursor& cursor) {
  std::string_view encoded;
  const char* const start = cursor.at();
  const bool is_named = cursor.Peek() == '{' && !cursor.ReadBase64Object(encoded);
  cursor.set_at(start);
  if (is_named) return ReadNamedColumns(cursor);
  Input* const input = FindUnnamed(cursor, "inputs is a plain value/list, but expecting an object");
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
    // Only this form ignores keys that the signature does not have.
    Input* const input = signature_ != nullptr ? Find(key, hint) : FindOrAdd(cursor, key, hint);
    if (input == nullptr) {
      if (signature_ == nullptr) return false;
      // The model has this input, but the server cannot serve it. To ignore its value would give a
      // wrong answer.
      if (const std::string reason = signature_->WhyLeftOut(key); !reason.empty()) {
        return cursor.Fail(reason);
      }
      if (!cursor.SkipValue()) return false;
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
      // The inputs share one limit of memory. What this one reserved and did not need, the next one
      // may.
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
    if (input.builder.rows() == 0) continue;  // an optional input that is absent
    ASSIGN_OR_RETURN(Tensor tensor, input.builder.Finish(string_owner, has_rows_));
    inputs.push_back({input.name, std::move(tensor)});
  }
  return OkStatus();
}

}  // namespace penstock::tfs_json
