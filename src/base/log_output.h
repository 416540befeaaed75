// SPDX-License-Identifier: Apache-2.0
// Where lines of the log go; for log_queue.cc.
#pragma once

#include <string>
#include <string_view>

namespace penstock {

// Writes a whole line to standard error, above the status line if there is one. Waits for whoever
// reads it. Thread-safe.
void WriteLogOutput(std::string_view line);

// Has lines given to this function instead; null: written by WriteLogOutput. Thread-safe.
using LogSink = void (*)(std::string line);
void SetLogSink(LogSink sink);

}  // namespace penstock
