// SPDX-License-Identifier: Apache-2.0
// The form of a line of the access log.
#pragma once

#include <chrono>
#include <string>

#include "base/log.h"
#include "net/call.h"

namespace penstock {

// Appends the line of `call`, which ended at `time`. Names and messages of clients are escaped, so
// that they cannot forge a line or a field.
void AppendAccessLine(std::string& to, LogFormat format, const net::Call& call,
                      std::chrono::system_clock::time_point time);

}  // namespace penstock
