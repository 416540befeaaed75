// SPDX-License-Identifier: Apache-2.0
// Writes {"results": [...]}: for each Example a list of [label, score] pairs, or one number. The
// text is written directly, without a tree of JSON values, since an answer may have thousands of
// classes for each Example.
#include "frontends/tfs_rest/results_encoder.h"

#include "protocols/tfs_json/json_writer.h"

namespace penstock::tfs_rest {
namespace {

using tfs_json::JsonWriter;

// Large enough for one block in most answers.
constexpr size_t kResultTextBytes = 24;

void WriteNumber(float value, JsonWriter& writer) {
  writer.Commit(tfs_json::WriteFloat(writer.Reserve(tfs_json::kNumberBytesMax), value));
}

Status WriteResult(const tfs::ExampleClasses& classes, JsonWriter& writer) {
  for (int64_t row = 0; row < classes.rows; ++row) {
    writer.Raw(row == 0 ? "[" : ",[");
    for (int64_t column = 0; column < classes.columns; ++column) {
      writer.Raw(column == 0 ? "[" : ",[");
      if (!writer.String(classes.Label(row, column))) {
        return InvalidArgument(
            "the label of class {} of example {} is not UTF-8, which JSON cannot carry", column,
            row);
      }
      writer.Raw(',');
      WriteNumber(classes.Score(row, column), writer);
      writer.Raw(']');
    }
    writer.Raw(']');
  }
  return OkStatus();
}

Status WriteResult(const tfs::ExampleValues& values, JsonWriter& writer) {
  for (int64_t row = 0; row < values.rows; ++row) {
    if (row > 0) writer.Raw(',');
    WriteNumber(values.Value(row), writer);
  }
  return OkStatus();
}

size_t CountResults(const tfs::ExampleResult& result) {
  if (const auto* const classes = std::get_if<tfs::ExampleClasses>(&result)) {
    return static_cast<size_t>(classes->rows * classes->columns);
  }
  return static_cast<size_t>(std::get<tfs::ExampleValues>(result).rows);
}

}  // namespace

StatusOr<ByteChain> EncodeResults(const tfs::ExampleResult& result, RequestMemory& memory) try {
  JsonWriter writer(64 + CountResults(result) * kResultTextBytes, &memory);
  writer.Raw("{\"results\":[");
  TRY(std::visit([&](const auto& each) { return WriteResult(each, writer); }, result));
  writer.Raw("]}\n");
  return writer.Finish();
} catch (const JsonWriter::NoMemory& error) {
  return error.status;
}

}  // namespace penstock::tfs_rest
