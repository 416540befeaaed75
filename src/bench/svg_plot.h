// SPDX-License-Identifier: Apache-2.0
// A plot with lines, as an SVG file.
#pragma once

#include <string>
#include <utility>
#include <vector>

namespace penstock::bench {

// A line.
struct PlotSeries {
  std::string name;
  std::vector<std::pair<double, double>> points;  // ascending in x
  bool is_dashed = false;
  int color = -1;  // of the palette; -1: the series' own
};

// A mark on the x axis.
struct PlotTick {
  double at = 0;
  std::string text;
};

// The y axis is logarithmic: latencies of a tail span powers of ten. Points with y <= 0 are left
// out, since they have no place on it.
struct Plot {
  std::string title, x_label, y_label;
  std::vector<PlotTick> x_ticks;  // empty: round numbers
  std::vector<PlotSeries> series;
};

// The file's text. Texts may be any UTF-8; what XML does not allow is replaced.
std::string DrawSvg(const Plot& plot);

}  // namespace penstock::bench
