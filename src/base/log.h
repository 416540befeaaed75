// SPDX-License-Identifier: Apache-2.0
// Writes log lines to standard error, as text or JSON. Thread-safe. A message is always one line:
// control characters (see IsControl) are escaped, so that a client cannot forge a line.
//   PENSTOCK_LOG(kInfo, "loaded {} version {}", name, version);
//   PENSTOCK_LOG_REQUEST(kWarning, call->request_id(), "cannot decode: {}", error);
#pragma once

#include <fmt/format.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace penstock {

// Messages below the configured level are not formatted. kOff turns everything off.
enum class LogLevel { kDebug, kInfo, kWarning, kError, kOff };
enum class LogFormat { kText, kJson };

namespace log_internal {
extern std::atomic<LogLevel> level;

// Formats one message, with the line end.
std::string FormatLine(LogFormat format, LogLevel level, std::chrono::system_clock::time_point time,
                       std::string_view message, std::optional<uint64_t> request_id);
void Write(LogLevel level, std::string_view message,
           std::optional<uint64_t> request_id = std::nullopt);
}  // namespace log_internal

// Sets the level and the format. Call it before other threads start.
void ConfigureLog(LogLevel level, LogFormat format);

// Returns the width of the terminal that shows the status line. 0 if there is no status line:
// standard error is not a terminal that can show one (see terminal_line.h), the format is JSON, or
// kInfo is not logged.
int LogStatusColumns();
// Shows a status line below the log lines, and redraws it in place. Empty: shows none.
void SetLogStatus(std::string line);

// True if a message of this level is written. The macros ask first, so that a message that is off
// costs one load.
inline bool LogEnabled(LogLevel level) {
  return level >= log_internal::level.load(std::memory_order_relaxed);
}

// Appends the time as 2026-01-31T23:59:59.123Z.
void AppendLogTime(std::string& to, std::chrono::system_clock::time_point time);

// Appends `text` in the form that it has between the quotes of a JSON string. Control characters
// (see IsControl) are escaped. Bytes that are not UTF-8 become U+FFFD.
void AppendJsonEscaped(std::string& to, std::string_view text);

}  // namespace penstock

#define PENSTOCK_LOG(severity, ...)                                                                \
  do {                                                                                             \
    if (::penstock::LogEnabled(::penstock::LogLevel::severity)) {                                  \
      ::penstock::log_internal::Write(::penstock::LogLevel::severity, ::fmt::format(__VA_ARGS__)); \
    }                                                                                              \
  } while (false)

// Logs a message about the request with this id.
#define PENSTOCK_LOG_REQUEST(severity, request_id, ...)                                           \
  do {                                                                                            \
    if (::penstock::LogEnabled(::penstock::LogLevel::severity)) {                                 \
      ::penstock::log_internal::Write(::penstock::LogLevel::severity, ::fmt::format(__VA_ARGS__), \
                                      request_id);                                                \
    }                                                                                             \
  } while (false)
