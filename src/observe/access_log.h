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

// The member defaults are those of the flags (AccessLogOptionRows).
struct AccessLogOptions {
  std::string calls = "errors";                 // off, errors, slow or all
  Duration slow_min = std::chrono::seconds(1);  // for "slow": calls of at least this long
  std::string file;                             // empty: standard error
  std::string format = "auto";                  // text or json; auto: as the log
};

// The flags --access_log and its relatives. Static storage.
std::span<const OptionRow> AccessLogOptionRows();

// Writes one line for each call that the filter wants, when the call has ended. A call costs its
// event loop the formatting of the line; a thread writes the lines. When the disk or the reader is
// too slow, lines are dropped and counted in penstock_access_log_dropped_total. Thread-safe.
class AccessLog final : public net::CallObserver {
 public:
  // Returns null if it is off. `log_format` is that of the log, "text" or "json"; the format "auto"
  // takes it. `metrics` must outlive it. Errors: INVALID_ARGUMENT for an unknown word, or for a
  // file that cannot be opened; the message names the flag.
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
