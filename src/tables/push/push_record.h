// SPDX-License-Identifier: Apache-2.0
// What the cluster keeps about a push that is not finished: the key PREFIX:push.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "base/status.h"
#include "tables/redis_settings.h"

namespace penstock::tables {

// Immutable.
struct PushRecord {
  Generation generation;             // that is being written
  std::string source;                // which rows; the same text for the same ones
  std::optional<Generation> before;  // the current one when the push began

  bool operator==(const PushRecord&) const = default;
};

// Returns the value of PREFIX:current.
std::string GenerationJson(const Generation& generation);
// These write and read the value of PREFIX:push. Errors: INVALID_ARGUMENT.
std::string PushRecordJson(const PushRecord& record);
StatusOr<PushRecord> ParsePushRecord(std::string_view json, bool is_dense);

}  // namespace penstock::tables
