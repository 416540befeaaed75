// SPDX-License-Identifier: Apache-2.0
// Writes the rows of a table into a Redis cluster, as its next generation.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "base/clock.h"
#include "base/status.h"
#include "tables/push/source_parts.h"
#include "tables/redis_settings.h"

namespace penstock::tables {

// What `penstock table push` is asked for.
struct PushOptions {
  std::string source;      // the folder of a version
  RedisSettings redis;     // its files are paths
  std::string generation;  // empty: the number after the current one
  PartOptions parts;
  // Of each master, that must have all rows before they count. None: all that are connected.
  std::optional<uint64_t> replicas;
  // Drops what another push has begun and not finished.
  bool restarts = false;
  size_t inflight_bytes = 32 << 20;  // commands that wait for answers
  // A node, or a replica, that does not answer for so long ends the push.
  Duration timeout = std::chrono::seconds(60);
  // After so long, rows that nobody goes on writing are dropped.
  std::chrono::seconds unfinished = std::chrono::hours(24);
  // The rows of before stay so long.
  std::chrono::seconds grace = std::chrono::minutes(5);
};

enum class PushStep { kCheck, kWrite, kConfirm, kSwitch };

// How far it is.
struct PushProgress {
  PushStep step = PushStep::kCheck;
  uint64_t bytes = 0;
  uint64_t bytes_all = 0;
  uint64_t rows = 0;
};

// What was done.
struct PushResult {
  Generation generation;
  std::string before;        // the name of the generation before, or empty
  uint64_t rows_kept = 0;    // that an earlier push had written
  bool was_current = false;  // that push was complete, but for what comes after the switch
};

// Writes all rows, waits until the replicas have them, and makes them the current ones. If it is
// killed and started again, it goes on. `progress` is called now and then, by one thread at a time.
// Errors:
//   INVALID_ARGUMENT, NOT_FOUND: the source or the options;
//   FAILED_PRECONDITION: the table in Redis does not fit, or Redis refuses a command;
//   UNAVAILABLE: the cluster does not answer;
//   ABORTED: another push has come between.
StatusOr<PushResult> PushTable(const PushOptions& options,
                               const std::function<void(const PushProgress&)>& progress);

}  // namespace penstock::tables
