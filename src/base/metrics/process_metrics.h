// SPDX-License-Identifier: Apache-2.0
// Metrics of this process's CPU, memory, threads and files.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/metrics/metrics.h"

namespace penstock {

// Numbers of one process. Immutable.
struct ProcessUse {
  uint64_t resident_bytes = 0;
  uint64_t virtual_bytes = 0;
  double cpu_seconds = 0;
  int64_t threads = 0;
  int64_t open_files = 0;
  double start_seconds = 0;  // since 1970
};

// Reads the numbers from the files of a system whose root folder is `root` ("" for this machine).
// Returns none if they cannot be read.
std::optional<ProcessUse> ReadProcessUse(const std::string& root);

// Adds penstock_build_info, and process_* gauges and counters with the names of the Prometheus
// client libraries.
void AddProcessMetrics(MetricsRegistry& metrics, std::string_view version);

}  // namespace penstock
