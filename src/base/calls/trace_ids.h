// SPDX-License-Identifier: Apache-2.0
// The place of a call in a distributed trace, as W3C Trace Context writes it.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace penstock {

// The length of a traceparent: "00-" 32 digits "-" 16 digits "-" 2 digits.
inline constexpr size_t kTraceParentBytes = 55;

// The ids of a span, and of its parent, as bytes in the order in which they are written. Plain
// data.
struct TraceIds {
  std::array<uint8_t, 16> trace = {};
  std::array<uint8_t, 8> parent = {};  // zero: the span is the first one of its trace
  std::array<uint8_t, 8> span = {};
  std::string state;  // the client's tracestate, which is passed on as it is

  // The traceparent that names this span.
  std::string TraceParent() const;
};

// A traceparent that came from a client.
struct RemoteParent {
  std::array<uint8_t, 16> trace = {};
  std::array<uint8_t, 8> span = {};
  bool is_sampled = false;
};

// Parses a traceparent (W3C Trace Context, section 3.2). Returns nullopt for a text that is no
// valid traceparent, also for ids that are all zero. Versions above 00 are read as far as version
// 00 goes, as the standard asks.
std::optional<RemoteParent> ParseTraceParent(std::string_view text);

}  // namespace penstock
