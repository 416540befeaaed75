// SPDX-License-Identifier: Apache-2.0
// Checks sub-messages that are accepted but not used, so that we refuse a request exactly when
// protobuf would.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "protocols/tfs/wire_reader.h"

namespace penstock::tfs {

// The rule for a length-delimited field of a message; other fields need no rule. Immutable.
struct FieldRule {
  enum class Content { kString, kMessage, kPackedVarints };
  uint32_t field;
  Content content;
  std::span<const FieldRule> message = {};  // for kMessage
};

// True if `bytes` is a message according to these rules. Fields without a rule are skipped, as
// unknown ones are. `nesting_left` as for WireReader::SkipField. False: `error` says what is wrong.
bool CheckMessage(std::string_view bytes, std::span<const FieldRule> rules, int nesting_left,
                  WireError& error);

// The rules of PredictRequest.predict_streamed_options and .request_options.
extern const std::span<const FieldRule> kPredictStreamedOptionsRules;
extern const std::span<const FieldRule> kRequestOptionsRules;

}  // namespace penstock::tfs
