// SPDX-License-Identifier: Apache-2.0
#include "backends/host/backend_log.h"

#include <fmt/format.h>

#include <iterator>

#include "base/log.h"
#include "penstock/backend.h"

namespace penstock {
namespace {

constexpr Duration kRepeatInterval = std::chrono::seconds(1);

LogLevel LevelOf(int32_t severity) {
  switch (severity) {
    case PENSTOCK_LOG_DEBUG:
      return LogLevel::kDebug;
    case PENSTOCK_LOG_INFO:
      return LogLevel::kInfo;
    case PENSTOCK_LOG_WARNING:
      return LogLevel::kWarning;
    default:
      return LogLevel::kError;
  }
}

}  // namespace

std::optional<uint64_t> RepeatLimit::Admit(std::string_view message, SteadyTime now) {
  MutexLock lock(mutex_);
  const auto found = seen_.find(message);
  if (found == seen_.end()) {
    if (seen_.size() >= kMessagesMax) {
      absl::erase_if(
          seen_, [&](const auto& entry) { return now - entry.second.written >= kRepeatInterval; });
    }
    if (seen_.size() < kMessagesMax) seen_.try_emplace(std::string(message), Seen{now, 0});
    return 0;
  }
  Seen& seen = found->second;
  if (now - seen.written < kRepeatInterval) {
    ++seen.left_out;
    return std::nullopt;
  }
  seen.written = now;
  return std::exchange(seen.left_out, 0);
}

void LogOfBackend(std::string_view backend, int32_t severity, std::string_view text,
                  RepeatLimit& limit) {
  const LogLevel level = LevelOf(severity);
  if (!LogEnabled(level)) return;
  std::string line(backend);
  if (const std::string_view model = ModelOnThread::name(); !model.empty())
    fmt::format_to(std::back_inserter(line), ": model {}", model);
  fmt::format_to(std::back_inserter(line), ": {}", text);
  const std::optional<uint64_t> left_out = limit.Admit(line, Clock::Real().Now());
  if (!left_out) return;
  if (*left_out > 0)
    fmt::format_to(std::back_inserter(line), " ({} equal lines before this one were left out)",
                   *left_out);
  log_internal::Write(level, line);
}

}  // namespace penstock
