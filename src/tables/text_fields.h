// SPDX-License-Identifier: Apache-2.0
// The fields of a line of CSV, TSV, or words with numbers behind them.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "tensor/dtype.h"

namespace penstock::tables {

// Divides `line` at the delimiters. A field may be in double quotes, and then a quote in it is
// written twice (RFC 4180). Between words, several spaces count as one. `fields` gets views of
// `line`, or of `unquoted` for fields that have quotes in them. Errors: INVALID_ARGUMENT.
Status SplitFields(std::string_view line, char delimiter, std::vector<std::string_view>& fields,
                   std::vector<std::string>& unquoted);

// Appends the number that `text` is, as an element of this type. Returns false if it is none, or if
// the type cannot hold it. Types: float32, float64 and the integers.
bool AppendNumber(std::string_view text, DType dtype, std::string& row);
// True if AppendNumber knows the type.
bool IsBuildable(DType dtype);

}  // namespace penstock::tables
