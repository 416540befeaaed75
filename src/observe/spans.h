// SPDX-License-Identifier: Apache-2.0
// A call as spans of OpenTelemetry: one for the call, and one for each of its stages.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/calls/trace_ids.h"
#include "net/call.h"

namespace penstock {

// Converts times of the steady clock to nanoseconds since 1970. Plain data.
struct UnixTimes {
  int64_t offset_ns = 0;  // of the steady clock's zero

  static UnixTimes Now();
  uint64_t Of(SteadyTime time) const {
    return static_cast<uint64_t>(
        std::chrono::duration_cast<std::chrono::nanoseconds>(time.time_since_epoch()).count() +
        offset_ns);
  }
};

// Appends the spans of `call`, which has ended and is traced, as fields `spans` of a ScopeSpans
// message (opentelemetry/proto/trace/v1/trace.proto). Returns how many there are: one for the call,
// one for each stage that it went through, and one for each step of an ensemble. Attributes have
// the names of OpenTelemetry's semantic conventions where there are some. Thread-safe.
size_t AppendSpans(std::string& to, const net::Call& call, const UnixTimes& times);

// Returns the start of an ExportTraceServiceRequest, the body of one POST, for the service of this
// name and version. `spans_bytes` bytes of such fields must follow it.
std::string ExportRequestHead(size_t spans_bytes, std::string_view service,
                              std::string_view version);

}  // namespace penstock
