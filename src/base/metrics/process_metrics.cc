// SPDX-License-Identifier: Apache-2.0
#include "base/metrics/process_metrics.h"

#include <unistd.h>

#include <filesystem>
#include <sstream>
#include <system_error>

#include "base/os/machine.h"

namespace penstock {
namespace {

// The start time of the machine, in seconds since 1970; 0 if unknown.
double BootSeconds(const std::string& root) {
  std::istringstream lines(ReadSystemFile(root + "/proc/stat"));
  for (std::string line; std::getline(lines, line);) {
    if (line.starts_with("btime ")) return std::strtod(line.c_str() + 6, nullptr);
  }
  return 0;
}

int64_t CountEntries(const std::string& folder) {
  std::error_code error;
  std::filesystem::directory_iterator entries(folder, error);
  int64_t count = 0;
  while (!error && entries != std::filesystem::directory_iterator()) {
    ++count;
    entries.increment(error);
  }
  return count;
}

void AddSingle(MetricsRegistry& metrics, std::string_view name, std::string_view help,
               MetricKind kind, double (*value)(const ProcessUse&)) {
  metrics.AddCollector(name, help, kind, [value]() -> std::vector<MetricSample> {
    // Each metric reads the files again. That is cheap enough for a scrape, and the collectors stay
    // independent.
    const std::optional<ProcessUse> use = ReadProcessUse("");
    if (!use) return {};
    return {{{}, value(*use)}};
  });
}

}  // namespace

std::optional<ProcessUse> ReadProcessUse(const std::string& root) {
  const std::string stat = ReadSystemFile(root + "/proc/self/stat");
  // The name in parentheses may contain any characters, so we parse the fields after it, from the
  // third on.
  const size_t name_end = stat.rfind(')');
  if (name_end == std::string::npos) return std::nullopt;
  std::istringstream fields(stat.substr(name_end + 1));
  const auto skip = [&fields](int count) {
    for (std::string ignored; count > 0 && fields >> ignored; --count) {
    }
  };
  double user_ticks = 0, system_ticks = 0, start_ticks = 0, resident_pages = 0;
  ProcessUse use;
  skip(11);
  fields >> user_ticks >> system_ticks;  // 14, 15
  skip(4);
  fields >> use.threads;  // 20
  skip(1);
  fields >> start_ticks >> use.virtual_bytes >> resident_pages;  // 22, 23, 24
  if (!fields) return std::nullopt;
  const auto ticks = static_cast<double>(sysconf(_SC_CLK_TCK));
  use.cpu_seconds = (user_ticks + system_ticks) / ticks;
  use.start_seconds = BootSeconds(root) + start_ticks / ticks;
  use.resident_bytes =
      static_cast<uint64_t>(resident_pages) * static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
  use.open_files = CountEntries(root + "/proc/self/fd");
  return use;
}

void AddProcessMetrics(MetricsRegistry& metrics, std::string_view version) {
  AddSingle(metrics, "process_resident_memory_bytes", "Memory of the process that is in RAM.",
            MetricKind::kGauge,
            [](const ProcessUse& use) { return static_cast<double>(use.resident_bytes); });
  AddSingle(metrics, "process_virtual_memory_bytes", "Address space of the process.",
            MetricKind::kGauge,
            [](const ProcessUse& use) { return static_cast<double>(use.virtual_bytes); });
  AddSingle(metrics, "process_cpu_seconds_total", "CPU time of the process, user and system.",
            MetricKind::kCounter, [](const ProcessUse& use) { return use.cpu_seconds; });
  AddSingle(metrics, "process_threads", "Threads of the process.", MetricKind::kGauge,
            [](const ProcessUse& use) { return static_cast<double>(use.threads); });
  AddSingle(metrics, "process_open_fds", "Open files and sockets of the process.",
            MetricKind::kGauge,
            [](const ProcessUse& use) { return static_cast<double>(use.open_files); });
  AddSingle(metrics, "process_start_time_seconds", "When the process started, since 1970.",
            MetricKind::kGauge, [](const ProcessUse& use) { return use.start_seconds; });
  metrics
      .AddGauge("penstock_build_info", "1, labelled with the version that runs.",
                {{"version", std::string(version)}})
      .Set(1);
}

}  // namespace penstock
