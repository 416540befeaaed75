// SPDX-License-Identifier: Apache-2.0
// Writes parts of the Prometheus text format 0.0.4.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "base/metrics/cell_metrics.h"
#include "base/metrics/metric.h"

namespace penstock {

// Appends `text` with the characters escaped that the format does not take as they are.
void AppendEscaped(std::string& to, std::string_view text, bool escape_quotes);
// Formats labels as `a="1",b="2"`.
std::string LabelText(const MetricLabels& labels);
std::string NumberText(double value);
// Appends a line. `suffix` belongs to the name.
void AppendSample(std::string& to, std::string_view name, std::string_view suffix,
                  std::string_view labels, std::string_view value);
// Appends the lines of a histogram, by the totals of all cells.
void AppendHistogram(std::string& to, std::string_view name, const std::string& labels,
                     const CellHistogram& histogram, std::span<const uint64_t> counts,
                     std::span<const double> sums);

}  // namespace penstock
