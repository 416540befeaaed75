// SPDX-License-Identifier: Apache-2.0
// The inputs of one request while they are parsed: their names and tensors.
#pragma once

#include <span>
#include <string_view>

#include "absl/container/flat_hash_map.h"
#include "absl/container/inlined_vector.h"
#include "base/request_memory.h"
#include "base/status.h"
#include "base/string_map.h"
#include "infer/request.h"
#include "infer/signature.h"
#include "protocols/tfs_json/json_cursor.h"
#include "protocols/tfs_json/tensor_builder.h"

namespace penstock::tfs_json {

// The input's name if the model accepts any inputs and the request does not name it.
inline constexpr std::string_view kUnnamedInput = "inputs";

// Collects the inputs. One thread at a time. Functions that return false have set the cursor's
// error.
class InputSet {
 public:
  // `signature` null: the model accepts any inputs, and the values determine their types. Both
  // outlive this, as does `memory`. `inputs_max`: the most inputs of a model that accepts any.
  InputSet(const Signature* signature, size_t inputs_max, RequestMemory& memory);

  // Reads the value of "instances": a list of values, of lists, or of objects with a key for each
  // input.
  bool ReadRows(JsonCursor& cursor);
  // Reads the value of "inputs": the value of the only input, or an object with a key for each
  // input.
  bool ReadColumns(JsonCursor& cursor);
  // Moves the tensors to `inputs`.
  Status Finish(const BufferRef& string_owner, NamedTensors& inputs);

 private:
  struct Input {
    Input(std::string_view input_name, DType dtype, bool is_optional, RequestMemory& memory)
        : name(input_name), optional(is_optional), builder(dtype, memory) {}
    std::string_view name;
    bool optional;
    TensorBuilder builder;
  };

  Input& Add(std::string_view name, DType dtype, bool optional);
  // Returns null if the signature has no such input. `hint` is the position to try first.
  Input* Find(std::string_view name, size_t hint);
  // Lists the inputs for an error, up to a number of them.
  std::string InputNames() const;
  // Finds the input, or adds it if the model accepts any. Null, with an error, if neither is
  // possible.
  Input* FindOrAdd(JsonCursor& cursor, std::string_view name, size_t hint);
  // Returns the only input, which the request does not name. `plain` describes the request for the
  // error.
  Input* FindUnnamed(JsonCursor& cursor, std::string_view plain);
  bool ReadUnnamedRows(JsonCursor& cursor);
  bool ReadNamedRows(JsonCursor& cursor);
  bool ReadNamedRow(JsonCursor& cursor);
  bool ReadRowEntry(JsonCursor& cursor, size_t hint);
  bool CheckRow(JsonCursor& cursor, const char* row_at);
  bool FailUnnamedRow(JsonCursor& cursor, const Input& input, const char* start, int64_t row);
  void ExplainRow(JsonCursor& cursor, const Input& input, const char* row_at, int64_t row,
                  std::span<const int64_t> dims);
  bool FailKeys(JsonCursor& cursor, const char* row_at, std::string_view missing);
  bool ReadNamedColumns(JsonCursor& cursor);
  bool CheckColumns(JsonCursor& cursor);

  const Signature* const signature_;
  const size_t inputs_max_;
  RequestMemory& memory_;
  absl::InlinedVector<Input, 2> inputs_;
  // Used only with many inputs.
  absl::flat_hash_map<std::string_view, size_t, StringViewHash> index_;
  int64_t rows_ = 0;       // complete rows
  bool has_rows_ = false;  // each row is a separate value, so the builders do not count the rows
};

}  // namespace penstock::tfs_json
