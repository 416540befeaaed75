// SPDX-License-Identifier: Apache-2.0
#include "base/calls/trace_ids.h"

#include <algorithm>
#include <span>

#include "base/encoding/hex.h"

namespace penstock {
namespace {

bool IsZero(std::span<const uint8_t> bytes) {
  return std::all_of(bytes.begin(), bytes.end(), [](uint8_t byte) { return byte == 0; });
}

}  // namespace

std::string TraceIds::TraceParent() const {
  std::string text;
  text.reserve(kTraceParentBytes);
  text += "00-";
  AppendHex(text, trace);
  text += '-';
  AppendHex(text, span);
  text += "-01";
  return text;
}

std::optional<RemoteParent> ParseTraceParent(std::string_view text) {
  if (text.size() < kTraceParentBytes) return std::nullopt;
  std::array<uint8_t, 1> version{}, flags{};
  RemoteParent parent;
  if (text[2] != '-' || text[35] != '-' || text[52] != '-' || !ReadHex(text, version) ||
      !ReadHex(text.substr(3), parent.trace) || !ReadHex(text.substr(36), parent.span) ||
      !ReadHex(text.substr(53), flags))
    return std::nullopt;
  const bool is_longer = text.size() > kTraceParentBytes;
  if (version[0] == 0xFF || (version[0] == 0 && is_longer) ||
      (is_longer && text[kTraceParentBytes] != '-') || IsZero(parent.trace) || IsZero(parent.span))
    return std::nullopt;
  parent.is_sampled = (flags[0] & 1) != 0;
  return parent;
}

}  // namespace penstock
