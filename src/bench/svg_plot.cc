// SPDX-License-Identifier: Apache-2.0
#include "bench/svg_plot.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <iterator>
#include <limits>
#include <string_view>

#include "base/utf8.h"

namespace penstock::bench {
namespace {

// In pixels.
constexpr double kWidth = 720, kHeight = 420, kLeft = 76, kRight = 16, kTop = 40, kBottom = 56;
constexpr double kLegendLine = 18;
// Okabe and Ito's colours, which colour-blind readers can tell apart.
constexpr std::string_view kColors[] = {"#0072b2", "#d55e00", "#009e73", "#cc79a7",
                                        "#e69f00", "#56b4e9", "#000000"};

std::string XmlText(std::string_view text) {
  const std::string valid = ToUtf8(text);
  std::string escaped;
  for (const char c : valid) {
    switch (c) {
      case '&':
        escaped += "&amp;";
        break;
      case '<':
        escaped += "&lt;";
        break;
      case '>':
        escaped += "&gt;";
        break;
      case '"':
        escaped += "&quot;";
        break;
      default:
        escaped += static_cast<unsigned char>(c) < ' ' ? ' ' : c;
    }
  }
  return escaped;
}

// The range of an axis, and where it lies in the picture.
struct Axis {
  double from = 0, to = 1;
  double first_pixel = 0, last_pixel = 1;
  double At(double value) const {
    return first_pixel + (value - from) / (to - from) * (last_pixel - first_pixel);
  }
};

// 1, 2 or 5 times a power of ten.
double RoundStep(double span, int count_max) {
  double step = std::pow(10, std::floor(std::log10(span / count_max)));
  for (const double factor : {2.0, 2.5, 2.0}) {
    if (span / step <= count_max) break;
    step *= factor;
  }
  return step;
}

// As 20, 1.5, 20k.
std::string NumberText(double value) {
  if (value >= 1e6) return fmt::format("{:.4g}M", value / 1e6);
  if (value >= 1e4) return fmt::format("{:.4g}k", value / 1e3);
  return fmt::format("{:.4g}", value);
}

// Draws a plot. One thread at a time.
class Drawing final {
 public:
  explicit Drawing(const Plot& plot) : plot_(plot) { FitAxes(); }

  std::string Draw() {
    Append(R"(<svg xmlns="http://www.w3.org/2000/svg" width="{0}" height="{1}" )"
           R"(viewBox="0 0 {0} {1}" font-family="sans-serif" font-size="13">)"
           "\n<rect width=\"{0}\" height=\"{1}\" fill=\"#ffffff\"/>\n",
           kWidth, kHeight);
    Text(kWidth / 2, 24, "middle", plot_.title, " font-size=\"15\"");
    DrawXAxis();
    DrawYAxis();
    for (size_t i = 0; i < plot_.series.size(); ++i) DrawSeries(i);
    DrawLegend();
    text_ += "</svg>\n";
    return std::move(text_);
  }

 private:
  template <typename... Args>
  void Append(fmt::format_string<Args...> format, Args&&... args) {
    fmt::format_to(std::back_inserter(text_), format, std::forward<Args>(args)...);
  }
  void Text(double x, double y, std::string_view anchor, std::string_view text,
            std::string_view more = "") {
    Append("<text x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"{}\"{}>{}</text>\n", x, y, anchor, more,
           XmlText(text));
  }
  void Line(double x1, double y1, double x2, double y2, std::string_view color) {
    Append("<line x1=\"{:.1f}\" y1=\"{:.1f}\" x2=\"{:.1f}\" y2=\"{:.1f}\" stroke=\"{}\"/>\n", x1,
           y1, x2, y2, color);
  }

  void FitAxes() {
    x_ = {std::numeric_limits<double>::max(), std::numeric_limits<double>::lowest(), kLeft,
          kWidth - kRight};
    y_ = {x_.from, x_.to, kHeight - kBottom, kTop};
    for (const PlotSeries& series : plot_.series) {
      for (const auto& [x, y] : series.points) {
        if (!(y > 0) || !std::isfinite(x) || !std::isfinite(y)) continue;
        x_.from = std::min(x_.from, x);
        x_.to = std::max(x_.to, x);
        y_.from = std::min(y_.from, std::log10(y));
        y_.to = std::max(y_.to, std::log10(y));
      }
    }
    if (x_.from > x_.to) x_.from = 0, x_.to = 1, y_.from = 0, y_.to = 1;
    for (const PlotTick& tick : plot_.x_ticks) {
      x_.from = std::min(x_.from, tick.at);
      x_.to = std::max(x_.to, tick.at);
    }
    if (plot_.x_ticks.empty()) x_.from = std::min(0.0, x_.from);
    if (x_.to - x_.from < 1e-9) x_.to = x_.from + 1;
    // Some space above and below; at least a third of a power of ten.
    const double margin = std::max(0.06, (0.34 - (y_.to - y_.from)) / 2);
    y_.from -= margin;
    y_.to += margin;
  }

  void DrawXAxis() {
    std::vector<PlotTick> ticks = plot_.x_ticks;
    if (ticks.empty()) {
      const double step = RoundStep(x_.to - x_.from, 8);
      for (double at = std::ceil(x_.from / step) * step; at <= x_.to * (1 + 1e-9); at += step)
        ticks.push_back({at, NumberText(at)});
    }
    for (const PlotTick& tick : ticks) {
      Line(x_.At(tick.at), kTop, x_.At(tick.at), kHeight - kBottom, "#e4e4e4");
      Text(x_.At(tick.at), kHeight - kBottom + 18, "middle", tick.text);
    }
    Line(kLeft, kHeight - kBottom, kWidth - kRight, kHeight - kBottom, "#404040");
    Text((kLeft + kWidth - kRight) / 2, kHeight - 14, "middle", plot_.x_label);
  }

  void DrawYAxis() {
    // Each power of ten; 2 and 5 of each, too, if there is space for them.
    const bool is_fine = y_.to - y_.from < 3.5;
    for (int power = static_cast<int>(std::floor(y_.from)); power <= y_.to; ++power) {
      for (const double factor : {1.0, 2.0, 5.0}) {
        const double at = power + std::log10(factor);
        if (at < y_.from || at > y_.to || (factor != 1 && !is_fine)) continue;
        Line(kLeft, y_.At(at), kWidth - kRight, y_.At(at), "#e4e4e4");
        Text(kLeft - 8, y_.At(at) + 4, "end", NumberText(std::pow(10, at)));
      }
    }
    Line(kLeft, kTop, kLeft, kHeight - kBottom, "#404040");
    const double middle = (kTop + kHeight - kBottom) / 2;
    Text(18, middle, "middle", plot_.y_label,
         fmt::format(" transform=\"rotate(-90 18 {:.1f})\"", middle));
  }

  std::string_view ColorOf(size_t index) const {
    const int color = plot_.series[index].color;
    return kColors[(color < 0 ? index : static_cast<size_t>(color)) % std::size(kColors)];
  }
  std::string StrokeOf(size_t index) const {
    return fmt::format("stroke=\"{}\" stroke-width=\"2\"{}", ColorOf(index),
                       plot_.series[index].is_dashed ? " stroke-dasharray=\"6 4\"" : "");
  }

  void DrawSeries(size_t index) {
    std::string points;
    size_t count = 0;
    for (const auto& [x, y] : plot_.series[index].points) {
      if (!(y > 0) || !std::isfinite(x) || !std::isfinite(y)) continue;
      fmt::format_to(std::back_inserter(points), "{}{:.1f},{:.1f}", count++ == 0 ? "" : " ",
                     x_.At(x), y_.At(std::log10(y)));
    }
    if (count > 1) Append("<polyline fill=\"none\" {} points=\"{}\"/>\n", StrokeOf(index), points);
    if (count > 12) return;  // a mark for each point would hide the line
    for (const auto& [x, y] : plot_.series[index].points) {
      if (y > 0 && std::isfinite(x) && std::isfinite(y))
        Append("<circle cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"3\" fill=\"{}\"/>\n", x_.At(x),
               y_.At(std::log10(y)), ColorOf(index));
    }
  }

  void DrawLegend() {
    for (size_t i = 0; i < plot_.series.size(); ++i) {
      const double y = kTop + 14 + kLegendLine * static_cast<double>(i);
      Append("<line x1=\"{0}\" y1=\"{2:.1f}\" x2=\"{1}\" y2=\"{2:.1f}\" {3}/>\n", kLeft + 12,
             kLeft + 38, y, StrokeOf(i));
      Text(kLeft + 46, y + 4, "start", plot_.series[i].name);
    }
  }

  const Plot& plot_;
  Axis x_, y_;
  std::string text_;
};

}  // namespace

std::string DrawSvg(const Plot& plot) { return Drawing(plot).Draw(); }

}  // namespace penstock::bench
