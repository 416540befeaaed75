// SPDX-License-Identifier: Apache-2.0
// The log lines of backends and their runtimes: which model they are about, and how many are
// written.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "base/clock.h"
#include "base/mutex.h"
#include "base/string_map.h"

namespace penstock {

// While it exists, log lines that come on this thread are about this model. `name` must outlive it.
// One thread.
class ModelOnThread final {
 public:
  explicit ModelOnThread(std::string_view name) : before_(std::exchange(name_, name)) {}
  ~ModelOnThread() { name_ = before_; }
  ModelOnThread(const ModelOnThread&) = delete;
  ModelOnThread& operator=(const ModelOnThread&) = delete;

  // Empty: no function of a model runs on this thread.
  static std::string_view name() { return name_; }

 private:
  static inline constinit thread_local std::string_view name_;
  const std::string_view before_;
};

// Lets each message through once a second. A runtime may say the same for each request.
// Thread-safe.
class RepeatLimit final {
 public:
  // Returns how many equal messages were left out since the last one that was written. nullopt:
  // leave this one out too.
  std::optional<uint64_t> Admit(std::string_view message, SteadyTime now) EXCLUDES(mutex_);

 private:
  struct Seen {
    SteadyTime written;
    uint64_t left_out = 0;
  };
  // So many different messages in a second are not worth remembering.
  static constexpr size_t kMessagesMax = 256;

  Mutex mutex_;
  StringMap<Seen> seen_ GUARDED_BY(mutex_);
};

// Writes a line of the backend to the log, unless the limit leaves it out.
void LogOfBackend(std::string_view backend, int32_t severity, std::string_view text,
                  RepeatLimit& limit);

}  // namespace penstock
