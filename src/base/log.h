// SPDX-License-Identifier: Apache-2.0
// Log lines, as text or JSON, to standard error. Thread-safe.
//   PENSTOCK_LOG(kInfo, "loaded {} version {}", name, version);
#pragma once

#include <fmt/format.h>

#include <atomic>
#include <string>
#include <string_view>

namespace penstock {

enum class LogLevel { kDebug, kInfo, kWarning, kError, kOff };
enum class LogFormat { kText, kJson };

namespace log_internal {
extern std::atomic<LogLevel> level;
void Write(LogLevel level, std::string_view message);
}  // namespace log_internal

// Sets what is written and how. Call it before other threads start.
void ConfigureLog(LogLevel level, LogFormat format);

inline bool LogEnabled(LogLevel level) {
  return level >= log_internal::level.load(std::memory_order_relaxed);
}

}  // namespace penstock

#define PENSTOCK_LOG(severity, ...)                                                                \
  do {                                                                                             \
    if (::penstock::LogEnabled(::penstock::LogLevel::severity)) {                                  \
      ::penstock::log_internal::Write(::penstock::LogLevel::severity, ::fmt::format(__VA_ARGS__)); \
    }                                                                                              \
  } while (false)
