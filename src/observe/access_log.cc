// SPDX-License-Identifier: Apache-2.0
#include "observe/access_log.h"

#include <array>
#include <utility>

#include "observe/access_line.h"

namespace penstock {
namespace {

constexpr std::array<std::string_view, 4> kCalls = {"off", "errors", "slow", "all"};
constexpr std::array<std::string_view, 1> kSlow = {"slow"};
constexpr std::array<std::string_view, 3> kOn = {"errors", "slow", "all"};
constexpr std::array<std::string_view, 3> kFormats = {"auto", "text", "json"};

const OptionRow kRows[] = {
    {.group = option_group::kObservation,
     .name = "access_log",
     .target = Field<&AccessLogOptions::calls>(),
     .sentence = "The calls that get a line in the access log: 'errors' those that fail, 'slow' "
                 "also those that take access_log_slow_ms or longer, 'all' also probes and "
                 "scrapes.",
     .choices = kCalls},
    {.group = option_group::kObservation,
     .name = "access_log_slow_ms",
     .target = In<std::chrono::milliseconds, &AccessLogOptions::slow_min>(),
     .sentence = "How long a call must take to be slow, for access_log=slow.",
     .max = 24 * 3'600'000,
     .needs = OptionNeed{"access_log", kSlow}},
    {.group = option_group::kObservation,
     .name = "access_log_file",
     .target = Field<&AccessLogOptions::file>(),
     .sentence = "The file of the access log, made with mode 0600, and opened again when it has "
                 "been moved; empty is standard error.",
     .needs = OptionNeed{"access_log", kOn}},
    {.group = option_group::kObservation,
     .name = "access_log_format",
     .target = Field<&AccessLogOptions::format>(),
     .sentence = "The form of a line of the access log; 'auto' is log_format.",
     .choices = kFormats,
     .needs = OptionNeed{"access_log", kOn}},
};

CallFilter FilterOf(const AccessLogOptions& options) {
  if (options.calls == "all") return {.all = true};
  if (options.calls == "slow") return {.errors = true, .slow_min = options.slow_min};
  return {.errors = true};
}

}  // namespace

std::span<const OptionRow> AccessLogOptionRows() { return kRows; }

StatusOr<std::unique_ptr<AccessLog>> AccessLog::Make(const AccessLogOptions& options,
                                                     std::string_view log_format,
                                                     MetricsRegistry& metrics) {
  if (options.calls == "off") return nullptr;
  Counter& dropped =
      metrics.AddCounter("penstock_access_log_dropped_total",
                         "Lines of the access log that were dropped, because the file or standard "
                         "error could not take them.");
  ASSIGN_OR_RETURN(
      std::unique_ptr<LineWriter> writer,
      LineWriter::Open({.path = options.file, .asked_by = "--access_log_file"}, dropped));
  const std::string_view format = options.format == "auto" ? log_format : options.format;
  return std::unique_ptr<AccessLog>(
      new AccessLog(FilterOf(options), format == "json" ? LogFormat::kJson : LogFormat::kText,
                    std::move(writer), metrics));
}

AccessLog::AccessLog(CallFilter filter, LogFormat format, std::unique_ptr<LineWriter> writer,
                     MetricsRegistry& metrics)
    : filter_(filter),
      format_(format),
      writer_(std::move(writer)),
      lines_(metrics.AddCounter("penstock_access_log_lines_total",
                                "Lines of the access log, with those that were dropped.")) {}

void AccessLog::OnCallEnd(const net::Call& call) {
  const CallRecord& record = call.record();
  // A server that loads answers its probes with errors, several times a second.
  if (record.is_probe && !filter_.all) return;
  if (!filter_.Wants(record.IsError(), record.ended - call.start())) return;
  static thread_local std::string line;  // keeps its memory
  line.clear();
  AppendAccessLine(line, format_, call, std::chrono::system_clock::now());
  writer_->Write(line);
  lines_.Add();
}

}  // namespace penstock
