// SPDX-License-Identifier: Apache-2.0
// Reads the file of --token_file, which is a message in protobuf's text format
// (proto/penstock/access_rules.proto).
#pragma once

#include <string>
#include <string_view>

#include "access/access_table.h"
#include "base/status.h"

namespace penstock {

// Parses a token file. `file` is for messages. Errors, all INVALID_ARGUMENT: wrong syntax; no
// caller at all; a missing or repeated name; a hash that is none; credentials that two callers
// share; a caller without credentials or without a permission; a '*' that is not at the end.
// No message quotes a token, or more than the start of a hash. Thread-safe.
StatusOr<access::AccessTable> ParseTokenFile(std::string_view text, std::string_view file);

// The lines of a token file for a new caller, who may use `model`.
std::string TokenFileLines(std::string_view name, std::string_view token, std::string_view model);

}  // namespace penstock
