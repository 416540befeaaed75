// SPDX-License-Identifier: Apache-2.0
// The access log: a line for each call that an operator wants to see.
#pragma once

#include <memory>
#include <span>
#include <string>

#include "base/log.h"
#include "base/metrics/metrics.h"
#include "base/options/option_row.h"
#include "base/status.h"
#include "net/call_observer.h"
#include "observe/line_writer.h"

namespace penstock {

struct AccessLogOptions {
  std::string calls = "errors";  // off, errors, slow or all
  Duration slow_min = std::chrono::seconds(1);
  std::string file;             // empty: standard error
  std::string format = "auto";  // text or json; auto: as the log
};

std::span<const OptionRow> AccessLogOptionRows();

// Writes the lines. Thread-safe.
class AccessLog final : public net::CallObserver {
 public:
  // Returns null if it is off. `log_format` is that of the log. `metrics` must outlive it.
  static StatusOr<std::unique_ptr<AccessLog>> Make(const AccessLogOptions& options,
                                                   std::string_view log_format,
                                                   MetricsRegistry& metrics);

  CallFilter filter() const override { return filter_; }
  void OnCallEnd(const net::Call& call) override;

 private:
  AccessLog(CallFilter filter, LogFormat format, std::unique_ptr<LineWriter> writer,
            MetricsRegistry& metrics);

  const CallFilter filter_;
  const LogFormat format_;
  const std::unique_ptr<LineWriter> writer_;
  Counter& lines_;
};

}  // namespace penstock
