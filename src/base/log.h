// SPDX-License-Identifier: Apache-2.0
// Log lines, as text or JSON, to standard error. Thread-safe. One line a message: control
// characters are escaped, so that what a client sends cannot forge a line.
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

enum class LogLevel { kDebug, kInfo, kWarning, kError, kOff };
enum class LogFormat { kText, kJson };

namespace log_internal {
extern std::atomic<LogLevel> level;

// What is written for one message, with the line end.
std::string FormatLine(LogFormat format, LogLevel level, std::chrono::system_clock::time_point time,
                       std::string_view message, std::optional<uint64_t> request_id);
void Write(LogLevel level, std::string_view message,
           std::optional<uint64_t> request_id = std::nullopt);
}  // namespace log_internal

// Sets what is written and how. Call it before other threads start.
void ConfigureLog(LogLevel level, LogFormat format);

// The width of the terminal on which SetLogStatus shows something; 0: it does not, since standard
// error is no such terminal (see terminal_line.h), or lines are JSON, or those of kInfo not wanted.
int LogStatusColumns();
// Shows a line below the log lines for as long as it holds, redrawn in place; empty: none.
void SetLogStatus(std::string line);

inline bool LogEnabled(LogLevel level) {
  return level >= log_internal::level.load(std::memory_order_relaxed);
}

// Appends `text` as it stands between the quotes of a JSON string; bytes that are not UTF-8 become
// U+FFFD.
void AppendJsonEscaped(std::string& to, std::string_view text);

}  // namespace penstock

#define PENSTOCK_LOG(severity, ...)                                                                \
  do {                                                                                             \
    if (::penstock::LogEnabled(::penstock::LogLevel::severity)) {                                  \
      ::penstock::log_internal::Write(::penstock::LogLevel::severity, ::fmt::format(__VA_ARGS__)); \
    }                                                                                              \
  } while (false)

// The same, with the id of the request that it is about.
#define PENSTOCK_LOG_REQUEST(severity, request_id, ...)                                           \
  do {                                                                                            \
    if (::penstock::LogEnabled(::penstock::LogLevel::severity)) {                                 \
      ::penstock::log_internal::Write(::penstock::LogLevel::severity, ::fmt::format(__VA_ARGS__), \
                                      request_id);                                                \
    }                                                                                             \
  } while (false)
