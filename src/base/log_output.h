// SPDX-License-Identifier: Apache-2.0
// The output of the log; used by log_queue.cc.
#pragma once

#include <string>
#include <string_view>

namespace penstock {

// Writes a whole line to standard error, above the status line if there is one. Blocks if the
// reader is slow. Thread-safe.
void WriteLogOutput(std::string_view line);

// Sends lines to this function instead. Null: WriteLogOutput writes them. Thread-safe.
using LogSink = void (*)(std::string line);
void SetLogSink(LogSink sink);

}  // namespace penstock
