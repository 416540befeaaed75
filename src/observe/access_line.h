// SPDX-License-Identifier: Apache-2.0
// The form of a line of the access log.
#pragma once

#include <chrono>
#include <string>

#include "base/log.h"
#include "net/call.h"

namespace penstock {

// Appends the line of `call`, which ended at `time`, with its line end. Times in it are in
// microseconds. Names and messages of clients are escaped, and cut at kRecordTextBytesMax, so that
// they cannot forge a line or a field. Fields without a value are left out. docs/observability.md
// has all fields. REQUIRES: the call's record is complete. Thread-safe.
void AppendAccessLine(std::string& to, LogFormat format, const net::Call& call,
                      std::chrono::system_clock::time_point time);

}  // namespace penstock
