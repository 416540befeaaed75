// SPDX-License-Identifier: Apache-2.0
#include "base/metrics/metric_text.h"

#include <fmt/format.h>

#include <cmath>
#include <cstddef>
#include <iterator>

namespace penstock {

void AppendEscaped(std::string& to, std::string_view text, bool escape_quotes) {
  for (const char c : text) {
    if (c == '\\') {
      to += "\\\\";
    } else if (c == '\n') {
      to += "\\n";
    } else if (c == '"' && escape_quotes) {
      to += "\\\"";
    } else {
      to += c;
    }
  }
}

std::string LabelText(const MetricLabels& labels) {
  std::string text;
  for (const auto& [name, value] : labels) {
    if (!text.empty()) text += ',';
    text += name;
    text += "=\"";
    AppendEscaped(text, value, true);
    text += '"';
  }
  return text;
}

std::string NumberText(double value) {
  if (std::isnan(value)) return "NaN";
  if (std::isinf(value)) return value > 0 ? "+Inf" : "-Inf";
  return fmt::format("{}", value);
}

void AppendSample(std::string& to, std::string_view name, std::string_view suffix,
                  std::string_view labels, std::string_view value) {
  to += name;
  to += suffix;
  if (!labels.empty()) fmt::format_to(std::back_inserter(to), "{{{}}}", labels);
  fmt::format_to(std::back_inserter(to), " {}\n", value);
}

void AppendHistogram(std::string& to, std::string_view name, const std::string& labels,
                     const CellHistogram& histogram, std::span<const uint64_t> counts,
                     std::span<const double> sums) {
  const std::string before = labels.empty() ? "" : labels + ",";
  uint64_t cumulative = 0;
  for (size_t i = 0; i <= histogram.bounds().size(); ++i) {
    // A bucket of Prometheus counts all values up to its bound. The cells count each value once, so
    // that Record adds to one cell only.
    cumulative += histogram.BucketIn(counts, i);
    const std::string bound =
        i < histogram.bounds().size() ? NumberText(histogram.bounds()[i]) : "+Inf";
    AppendSample(to, name, "_bucket", fmt::format("{}le=\"{}\"", before, bound),
                 std::to_string(cumulative));
  }
  AppendSample(to, name, "_sum", labels, NumberText(histogram.SumIn(sums)));
  AppendSample(to, name, "_count", labels, std::to_string(cumulative));
}

}  // namespace penstock
