// SPDX-License-Identifier: Apache-2.0
// The figures of runs: as a table, as JSON, and as a plot.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/status.h"
#include "bench/bench_options.h"
#include "bench/load.h"

namespace penstock::bench {

// The figures of one run, in us. Immutable once made.
struct RunFigures {
  double rate = 0;                                    // asked for; 0: a closed loop
  double throughput = 0;                              // good answers per second
  std::vector<double> table;                          // at kTablePercents
  std::vector<std::pair<double, double>> by_percent;  // for the plot: percent, latency
};

// The runs that one line of a plot shows, or several lines of one colour.
struct RunSeries {
  std::string name;
  std::vector<RunFigures> runs;
};

// What was sent, for the head of the report.
struct ReportHead {
  std::string target, model, name;
  std::string request, answer;  // for people
  size_t request_bytes = 0;
};

RunFigures FiguresOf(LoadResult& result);

// The lines above the table, with its head; the line of a run, with what was remarkable below it.
std::string ReportHeadText(const ReportHead& head, const BenchOptions& options);
std::string ReportRow(LoadResult& result, const LoadOptions& options);

std::string ReportJsonText(const ReportHead& head, const BenchOptions& options,
                           std::vector<LoadResult>& results);
// Reads what ReportJsonText wrote. INVALID_ARGUMENT: it is something else.
StatusOr<RunSeries> ReadReportJson(const std::string& text);

// If each series has one run: latency against percentile. Else latency against rate.
std::string ReportSvg(std::string_view title, const std::vector<RunSeries>& series);

}  // namespace penstock::bench
