// SPDX-License-Identifier: Apache-2.0
#include "bench/bench_report.h"

#include <simdjson.h>

#include <algorithm>
#include <cmath>
#include <iterator>

#include "base/log.h"
#include "bench/svg_plot.h"

namespace penstock::bench {
namespace {

// Where kTablePercents has these.
constexpr size_t kP50 = 0, kP90 = 1, kP99 = 2, kP999 = 3, kMax = 4;
// A client above this cannot keep its schedule.
constexpr double kBusyMax = 0.9;
constexpr double kLateUsMax = 1000;

std::string Quoted(std::string_view text) {
  std::string quoted = "\"";
  AppendJsonEscaped(quoted, text);
  return quoted + '"';
}

std::string Ms(double us) { return fmt::format("{:.3f}", us / 1000); }

double Seconds(Duration time) { return std::chrono::duration<double>(time).count(); }

// What a reader of the row must know.
std::string Remarks(LoadResult& result, const LoadOptions& options) {
  std::string text;
  const auto add = [&text](std::string_view line) { text += fmt::format("    {}\n", line); };
  for (size_t code = 1; code < result.errors.size(); ++code) {
    ErrorCount& error = result.errors[code];
    if (error.times.count() == 0) continue;
    add(fmt::format("{} {}, after {} ms (p50), {} ms (p99): {}", error.times.count(),
                    StatusCodeName(static_cast<StatusCode>(code)), Ms(error.times.Percentile(50)),
                    Ms(error.times.Percentile(99)), error.message));
  }
  if (options.deadline > Duration(0) && result.seconds > 0)
    add(fmt::format("{:.1f} answers/s within the deadline",
                    static_cast<double>(result.in_deadline) / result.seconds));
  if (result.unanswered > 0)
    add(fmt::format("{} requests had no answer {} s after the end", result.unanswered,
                    Seconds(options.timeout)));
  if (result.unsent > 0)
    add(fmt::format("{} requests were due and not sent before the end{}", result.unsent,
                    result.was_full ? fmt::format(": {} were under way (--in_flight_max)",
                                                  options.in_flight_max)
                                    : ""));
  if (result.streams_limit > 0)
    add(
        fmt::format("the server takes {} requests of a connection at a time, and others waited for "
                    "that: give more --connections",
                    result.streams_limit));
  if (result.connections_lost > 0)
    add(fmt::format("{} connections were lost", result.connections_lost));
  // In an open loop it may be busy with waiting for the next moment; there it counts if it is late.
  if (result.busy > kBusyMax && result.rate <= 0)
    add(
        fmt::format("the client itself was busy {:.0f} % of the time, so these figures show its "
                    "limit: give --threads={}",
                    100 * result.busy, options.threads + 1));
  if (const double late = result.late.Percentile(99); late > kLateUsMax)
    add(fmt::format("1 % of the requests left {} ms late or later; the times have this in them",
                    Ms(late)));
  if (!result.failure.ok()) add(MessageOf(result.failure));
  return text;
}

std::string RunJson(LoadResult& result) {
  const RunFigures figures = FiguresOf(result);
  std::string text = fmt::format(
      "{{\"rate\": {}, \"seconds\": {:.6f}, \"sent\": {}, \"ok\": {}, \"throughput\": {:.3f}, "
      "\"in_deadline\": {}, \"unanswered\": {}, \"unsent\": {}, \"connections_lost\": {}, "
      "\"latency_us\": {{\"mean\": {:.1f}, \"p50\": {:.1f}, \"p90\": {:.1f}, \"p99\": {:.1f}, "
      "\"p99.9\": {:.1f}, \"max\": {:.1f}}}, ",
      result.rate, result.seconds, result.sent, result.ok.count(), figures.throughput,
      result.in_deadline, result.unanswered, result.unsent, result.connections_lost,
      result.ok.Mean(), figures.table[kP50], figures.table[kP90], figures.table[kP99],
      figures.table[kP999], figures.table[kMax]);
  text += "\"percentiles\": [";
  for (const auto& [percent, us] : figures.by_percent)
    text += fmt::format("{}[{}, {:.1f}]", text.ends_with('[') ? "" : ", ", percent, us);
  text += "], \"errors\": [";
  for (size_t code = 1; code < result.errors.size(); ++code) {
    ErrorCount& error = result.errors[code];
    if (error.times.count() == 0) continue;
    text += fmt::format(
        "{}{{\"code\": \"{}\", \"count\": {}, \"p50_us\": {:.1f}, \"p99_us\": {:.1f}, "
        "\"max_us\": {:.1f}, \"message\": {}}}",
        text.ends_with('[') ? "" : ", ", StatusCodeName(static_cast<StatusCode>(code)),
        error.times.count(), error.times.Percentile(50), error.times.Percentile(99),
        error.times.Percentile(100), Quoted(error.message));
  }
  text += fmt::format("], \"late_p99_us\": {:.1f}, \"client_busy\": {:.3f}}}",
                      result.late.Percentile(99), result.busy);
  return text;
}

// 99 % is at 2, 99.9 % at 3: each further nine takes the same space.
double PercentPosition(double percent) { return -std::log10(std::max(1 - percent / 100, 1e-6)); }

Plot PlotByPercent(const std::vector<RunSeries>& series) {
  Plot plot;
  plot.x_label = "percentile";
  double last = 99;
  for (const RunSeries& each : series) {
    PlotSeries line{.name = each.name, .points = {}};
    for (const auto& [percent, us] : each.runs[0].by_percent) {
      line.points.emplace_back(PercentPosition(percent), us / 1000);
      last = std::max(last, percent);
    }
    plot.series.push_back(std::move(line));
  }
  for (const auto& [percent, text] : {std::pair{0.0, "0"},
                                      {50.0, "50"},
                                      {90.0, "90"},
                                      {99.0, "99"},
                                      {99.9, "99.9"},
                                      {99.99, "99.99"}}) {
    if (percent <= last) plot.x_ticks.push_back({PercentPosition(percent), text});
  }
  return plot;
}

void AddLine(Plot& plot, const RunSeries& series, size_t percent, PlotSeries line) {
  for (const RunFigures& run : series.runs) {
    const double x = run.rate > 0 ? run.rate : run.throughput;
    line.points.emplace_back(x, run.table[percent] / 1000);
  }
  std::sort(line.points.begin(), line.points.end());
  plot.series.push_back(std::move(line));
}

Plot PlotByRate(const std::vector<RunSeries>& series) {
  Plot plot;
  plot.x_label = "requests per second";
  if (series.size() == 1) {
    AddLine(plot, series[0], kP50, {.name = "p50", .points = {}});
    AddLine(plot, series[0], kP90, {.name = "p90", .points = {}});
    AddLine(plot, series[0], kP99, {.name = "p99", .points = {}});
    AddLine(plot, series[0], kP999, {.name = "p99.9", .points = {}});
    return plot;
  }
  for (size_t i = 0; i < series.size(); ++i) {
    const int color = static_cast<int>(i);
    AddLine(plot, series[i], kP99,
            {.name = series[i].name + ", p99", .points = {}, .color = color});
    AddLine(plot, series[i], kP50,
            {.name = series[i].name + ", p50", .points = {}, .is_dashed = true, .color = color});
  }
  return plot;
}

}  // namespace

RunFigures FiguresOf(LoadResult& result) {
  RunFigures figures{
      .rate = result.rate, .throughput = result.Throughput(), .table = {}, .by_percent = {}};
  for (const double percent : kTablePercents)
    figures.table.push_back(result.ok.Percentile(percent));
  const auto count = static_cast<double>(result.ok.count());
  for (const double percent : PlotPercents()) {
    // What a single request decides says nothing.
    if (count * (1 - percent / 100) >= 0.999)
      figures.by_percent.emplace_back(percent, result.ok.Percentile(percent));
  }
  return figures;
}

std::string ReportHeadText(const ReportHead& head, const BenchOptions& options) {
  const LoadOptions& load = options.load;
  std::string text = fmt::format(
      "model {} at {}\nrequest: {} ({} bytes)\nanswer:  {}\n", head.model, head.target,
      head.request.empty() ? "no inputs" : head.request, head.request_bytes, head.answer);
  text += options.rates.empty() ? fmt::format("closed loop: {} connections with {} streams each",
                                              load.connections, load.streams)
                                : fmt::format("open loop: {} connections, Poisson, seed {}",
                                              load.connections, load.seed);
  text += fmt::format(
      ", {} s after {} s of warm-up\n\n{:>10} {:>11} {:>10} {:>10} {:>10} {:>10} "
      "{:>10} {:>8}\n",
      Seconds(load.duration), Seconds(load.warmup), "rate", "answers/s", "p50 ms", "p90 ms",
      "p99 ms", "p99.9 ms", "max ms", "errors");
  return text;
}

std::string ReportRow(LoadResult& result, const LoadOptions& options) {
  const RunFigures figures = FiguresOf(result);
  std::string text =
      fmt::format("{:>10} {:>11.1f}", result.rate > 0 ? fmt::format("{:g}", result.rate) : "closed",
                  figures.throughput);
  for (const double us : figures.table)
    text += fmt::format(" {:>10}", result.ok.count() > 0 ? Ms(us) : "-");
  text += fmt::format(" {:>8}\n", result.ErrorsTotal());
  return text + Remarks(result, options);
}

std::string ReportJsonText(const ReportHead& head, const BenchOptions& options,
                           std::vector<LoadResult>& results) {
  const LoadOptions& load = options.load;
  std::string text = fmt::format(
      "{{\"target\": {}, \"model\": {}, \"name\": {}, \"request\": {}, \"answer\": {}, "
      "\"request_bytes\": {}, \"connections\": {}, \"streams\": {}, \"threads\": {}, "
      "\"warmup_s\": {}, \"duration_s\": {}, \"deadline_s\": {}, \"seed\": {},\n \"runs\": [",
      Quoted(head.target), Quoted(head.model), Quoted(head.name), Quoted(head.request),
      Quoted(head.answer), head.request_bytes, load.connections, load.streams, load.threads,
      Seconds(load.warmup), Seconds(load.duration), Seconds(load.deadline), load.seed);
  for (size_t i = 0; i < results.size(); ++i)
    text += fmt::format("{}\n  {}", i == 0 ? "" : ",", RunJson(results[i]));
  return text + "\n ]}\n";
}

StatusOr<RunSeries> ReadReportJson(const std::string& text) {
  constexpr const char* kKeys[] = {"p50", "p90", "p99", "p99.9", "max"};
  try {
    simdjson::dom::parser parser;
    const simdjson::dom::element report = parser.parse(text);
    RunSeries series{.name = std::string(std::string_view(report["name"])), .runs = {}};
    for (const simdjson::dom::element each : report["runs"]) {
      RunFigures run{.rate = double(each["rate"]),
                     .throughput = double(each["throughput"]),
                     .table = {},
                     .by_percent = {}};
      for (const char* const key : kKeys) run.table.push_back(double(each["latency_us"][key]));
      for (const simdjson::dom::element pair : each["percentiles"])
        run.by_percent.emplace_back(double(pair.at(0)), double(pair.at(1)));
      series.runs.push_back(std::move(run));
    }
    if (series.runs.empty()) return InvalidArgument("it has no runs");
    return series;
  } catch (const simdjson::simdjson_error& error) {
    return InvalidArgument("it is not what --json writes: {}", error.what());
  }
}

std::string ReportSvg(std::string_view title, const std::vector<RunSeries>& series) {
  const bool is_single = std::all_of(series.begin(), series.end(),
                                     [](const RunSeries& each) { return each.runs.size() == 1; });
  Plot plot = is_single ? PlotByPercent(series) : PlotByRate(series);
  plot.title = title;
  plot.y_label = "latency, ms";
  return DrawSvg(plot);
}

}  // namespace penstock::bench
