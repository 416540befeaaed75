// SPDX-License-Identifier: Apache-2.0
#include "protocols/tfs/message_check.h"

namespace penstock::tfs {
namespace {

using Content = FieldRule::Content;

// Only fields whose content can be malformed have a rule. For all others the wire type is enough,
// and unknown fields are skipped, as protobuf does.
constexpr FieldRule kSplitDimensionsEntry[] = {{1, Content::kString}};
constexpr FieldRule kPredictStreamedOptions[] = {{2, Content::kMessage, kSplitDimensionsEntry}};
constexpr FieldRule kRequestOptions[] = {{4, Content::kPackedVarints}, {13, Content::kMessage}};

bool CheckContent(const FieldRule& rule, std::string_view bytes, int nesting_left,
                  WireReader& reader) {
  switch (rule.content) {
    case Content::kString:
      return IsUtf8(bytes) || reader.Fail("a string is not UTF-8");
    case Content::kMessage:
      return CheckMessage(bytes, rule.message, nesting_left - 1, reader.error());
    case Content::kPackedVarints: {
      WireReader values(bytes, reader.error());
      for (uint64_t value = 0; !values.AtEnd();) {
        if (!values.ReadVarint(value)) return false;
      }
    }
  }
  return true;
}

}  // namespace

constinit const std::span<const FieldRule> kPredictStreamedOptionsRules = kPredictStreamedOptions;
constinit const std::span<const FieldRule> kRequestOptionsRules = kRequestOptions;

bool CheckMessage(std::string_view bytes, std::span<const FieldRule> rules, int nesting_left,
                  WireError& error) {
  WireReader reader(bytes, error);
  while (!reader.AtEnd()) {
    uint32_t tag = 0;
    if (!reader.ReadTag(tag)) return false;
    const FieldRule* rule = nullptr;
    for (const FieldRule& candidate : rules) {
      // For protobuf, a known number with another wire type is an unknown field.
      if (tag == MakeTag(candidate.field, WireType::kLength)) rule = &candidate;
    }
    if (rule == nullptr) {
      if (!reader.SkipField(tag, nesting_left)) return false;
      continue;
    }
    std::string_view content;
    if (!reader.ReadBytes(content) || !CheckContent(*rule, content, nesting_left, reader)) {
      return false;
    }
  }
  return true;
}

}  // namespace penstock::tfs
