// SPDX-License-Identifier: Apache-2.0
// The server can place a body in memory so that one chosen byte is aligned. This function chooses
// the byte: the first element of the first big tensor, whose elements then need no copy. It sees
// only the prefix of the message, and walks down the levels to the tensor with the wire format's
// tags and lengths. A wrong choice only costs a copy later, so it stops at anything unusual.
#include "protocols/tfs/predict_reader.h"
#include "protocols/tfs/tensor_fields.h"
#include "protocols/tfs/wire_reader.h"

namespace penstock::tfs {
namespace {

// Smaller runs of elements are cheap to copy.
constexpr uint64_t kBigBytes = 1024;

// The nested messages around a tensor's elements.
enum class Level { kRequest, kInputEntry, kTensor };

// Only these can be used in place, without a copy. So only for them is the alignment worth
// anything.
bool IsRawElements(uint32_t field) {
  const ValueKind kind = ValueKindOf(field);
  return field == kContentField || kind == ValueKind::kFixed32 || kind == ValueKind::kFixed64;
}

// The action for a big length-delimited field.
enum class Step { kLand, kEnter, kSkip };

// `map_field` is that of the map `inputs` or `outputs`. In its entry, 2 is the value.
Step StepFor(Level level, uint32_t field, uint32_t map_field) {
  if (level == Level::kTensor) return IsRawElements(field) ? Step::kLand : Step::kSkip;
  return field == (level == Level::kRequest ? map_field : 2) ? Step::kEnter : Step::kSkip;
}

// Enters only the first big input. Any later one is beyond the prefix, or not worth aligning.
size_t LandingIn(std::span<const std::byte> prefix, uint64_t body_bytes, uint32_t map_field) {
  if (body_bytes < kBigBytes) return 0;
  const std::string_view bytes(reinterpret_cast<const char*>(prefix.data()), prefix.size());
  WireError error;
  WireReader reader(bytes, error);
  Level level = Level::kRequest;
  while (!reader.AtEnd()) {
    uint32_t tag = 0;
    if (!reader.ReadTag(tag)) return 0;
    if ((tag & 7) != static_cast<uint32_t>(WireType::kLength)) {
      if (!reader.SkipField(tag, kNestingMax)) return 0;
      continue;
    }
    // The prefix may end within this field: then its length can be read, but its bytes cannot be
    // skipped. So a copy reads the length, and the reader stays before it.
    WireReader peek = reader;
    uint64_t length = 0;
    if (!peek.ReadVarint(length)) return 0;
    const Step step = length < kBigBytes ? Step::kSkip : StepFor(level, tag >> 3, map_field);
    const auto offset = static_cast<size_t>(peek.cursor() - bytes.data());
    // A length that reaches beyond the body is malformed. The decoder reports that later.
    if (step == Step::kLand) return offset + length <= body_bytes ? offset : 0;
    if (step == Step::kEnter) {
      level = level == Level::kRequest ? Level::kInputEntry : Level::kTensor;
      // From here on nothing marks the end of the nested message, so fields that follow it may be
      // taken for its own. The worst result is an alignment that helps nobody, and one copy.
      reader = peek;
    } else if (std::string_view skipped; !reader.ReadBytes(skipped)) {
      return 0;
    }
  }
  return 0;
}

}  // namespace

size_t PredictLanding(std::span<const std::byte> prefix, uint64_t body_bytes) {
  return LandingIn(prefix, body_bytes, 2);
}

size_t PredictResponseLanding(std::span<const std::byte> prefix, uint64_t body_bytes) {
  return LandingIn(prefix, body_bytes, 1);
}

}  // namespace penstock::tfs
