// SPDX-License-Identifier: Apache-2.0
#include "bench/bench_report.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <pugixml.hpp>

#include "bench/svg_plot.h"

namespace penstock::bench {
namespace {

using std::chrono::microseconds;
using testing::HasSubstr;
using testing::Not;

LoadResult Result(double rate, int slowest_us) {
  LoadResult result;
  result.rate = rate;
  result.seconds = 2;
  for (int us = 1; us <= slowest_us; ++us) result.ok.Add(microseconds(us));
  result.sent = result.answered_in_time = result.in_deadline = slowest_us;
  return result;
}

// All elements of the name, in the order of the text.
std::vector<pugi::xml_node> Elements(const pugi::xml_document& document, const char* name) {
  std::vector<pugi::xml_node> found;
  for (const pugi::xpath_node node : document.select_nodes((std::string("//") + name).c_str()))
    found.push_back(node.node());
  return found;
}

pugi::xml_document ParseXml(const std::string& text) {
  pugi::xml_document document;
  const pugi::xml_parse_result parsed = document.load_string(text.c_str());
  EXPECT_TRUE(parsed) << parsed.description() << " at " << parsed.offset << " of\n" << text;
  return document;
}

TEST(SvgPlotTest, IsXmlWhateverTheTexts) {
  const Plot plot{.title = "a < b & \"c\" \x01 \xff",
                  .x_label = "x",
                  .y_label = "y",
                  .x_ticks = {},
                  .series = {{.name = "<s>", .points = {{0, 1}, {10, 100}}}}};
  const pugi::xml_document document = ParseXml(DrawSvg(plot));
  EXPECT_STREQ(document.document_element().name(), "svg");
  const auto texts = Elements(document, "text");
  ASSERT_FALSE(texts.empty());
  EXPECT_EQ(std::string(texts[0].text().get()), "a < b & \"c\"   \xEF\xBF\xBD");
  EXPECT_EQ(Elements(document, "polyline").size(), 1u);
  EXPECT_EQ(Elements(document, "circle").size(), 2u);
}

TEST(SvgPlotTest, HigherValuesAreHigherAndAllPointsAreInside) {
  const Plot plot{.title = "",
                  .x_label = "",
                  .y_label = "",
                  .x_ticks = {},
                  .series = {{.name = "s", .points = {{1, 0.1}, {2, 10}, {3, 0}, {4, 5000}}}}};
  const pugi::xml_document document = ParseXml(DrawSvg(plot));
  const auto circles = Elements(document, "circle");
  ASSERT_EQ(circles.size(), 3u);  // 0 has no place on a logarithmic axis
  double x = 0, y = 1e9;
  for (const pugi::xml_node& circle : circles) {
    EXPECT_GT(circle.attribute("cx").as_double(), x);
    EXPECT_LT(circle.attribute("cy").as_double(), y);
    x = circle.attribute("cx").as_double();
    y = circle.attribute("cy").as_double();
    EXPECT_TRUE(x <= 720 && y >= 0 && y <= 420);
  }
}

TEST(SvgPlotTest, PlotsWithoutPointsOrWithOne) {
  for (const std::vector<std::pair<double, double>>& points :
       {std::vector<std::pair<double, double>>{}, {{5, 3}}, {{0, 0}}}) {
    const Plot plot{.title = "",
                    .x_label = "",
                    .y_label = "",
                    .x_ticks = {},
                    .series = {{.name = "s", .points = points}}};
    EXPECT_THAT(DrawSvg(plot), Not(HasSubstr("nan")));
    ParseXml(DrawSvg(plot));
  }
}

TEST(BenchReportTest, RowsHavePercentilesAndRemarks) {
  LoadResult result = Result(500, 1000);
  result.errors[14].times.Add(microseconds(300));
  result.errors[14].message = "model m is busy";
  result.unanswered = 2;
  LoadOptions options;
  options.deadline = std::chrono::milliseconds(100);
  const std::string row = ReportRow(result, options);
  EXPECT_THAT(row, testing::MatchesRegex("       500       500\\.0      0\\.500      0\\.900      "
                                         "0\\.990      0\\.999      1\\.000        1\n(.|\n)*"));
  EXPECT_THAT(row, HasSubstr("1 UNAVAILABLE, after 0.300 ms (p50), 0.300 ms (p99): model m is"));
  EXPECT_THAT(row, HasSubstr("500.0 answers/s within the deadline"));
  EXPECT_THAT(row, HasSubstr("2 requests had no answer 10 s after the end"));
  EXPECT_THAT(row, Not(HasSubstr("--threads")));
  result.busy = 0.97;
  EXPECT_THAT(ReportRow(result, options), Not(HasSubstr("busy 97 %")));
  result.rate = 0;
  EXPECT_THAT(ReportRow(result, options), HasSubstr("busy 97 % of the time"));
  EXPECT_THAT(ReportRow(result, options), HasSubstr("give --threads=2"));
}

TEST(BenchReportTest, JsonCanBeReadBack) {
  std::vector<LoadResult> results;
  results.push_back(Result(100, 1000));
  results.push_back(Result(200, 20));
  results[0].errors[4].times.Add(microseconds(9));
  results[0].errors[4].message = "say \"no\"\n";
  const ReportHead head{
      .target = "t", .model = "m", .name = "a \"b\"", .request = "", .answer = ""};
  const auto series = ReadReportJson(ReportJsonText(head, BenchOptions(), results));
  ASSERT_TRUE(series.ok()) << series.status();
  EXPECT_EQ(series->name, "a \"b\"");
  ASSERT_EQ(series->runs.size(), 2u);
  EXPECT_EQ(series->runs[0].rate, 100);
  EXPECT_EQ(series->runs[0].throughput, 500);
  EXPECT_EQ(series->runs[0].table, FiguresOf(results[0]).table);
  EXPECT_EQ(series->runs[0].by_percent.back().first, 99.9);
  EXPECT_EQ(series->runs[1].by_percent.back().first, 95);  // of 20 requests
  EXPECT_THAT(MessageOf(ReadReportJson("{\"name\": 1}").status()), HasSubstr("--json"));
  EXPECT_THAT(MessageOf(ReadReportJson("x").status()), HasSubstr("--json"));
  EXPECT_THAT(MessageOf(ReadReportJson("{\"name\": \"\", \"runs\": []}").status()),
              HasSubstr("no runs"));
}

TEST(BenchReportTest, PlotsByPercentileOrByRate) {
  LoadResult one = Result(100, 1000), two = Result(200, 1000);
  const RunSeries single{.name = "single", .runs = {FiguresOf(one)}};
  const RunSeries rates{.name = "rates", .runs = {FiguresOf(one), FiguresOf(two)}};
  const std::string by_percent = ReportSvg("t", {single, single});
  EXPECT_THAT(by_percent, HasSubstr(">99.9<"));
  EXPECT_EQ(Elements(ParseXml(by_percent), "polyline").size(), 2u);
  const std::string by_rate = ReportSvg("t", {rates});
  EXPECT_THAT(by_rate, HasSubstr("requests per second"));
  EXPECT_EQ(Elements(ParseXml(by_rate), "polyline").size(), 4u);  // p50, p90, p99, p99.9
  const std::string compared = ReportSvg("t", {rates, rates});
  EXPECT_THAT(compared, HasSubstr("rates, p99"));
  EXPECT_EQ(Elements(ParseXml(compared), "polyline").size(), 4u);  // p50 and p99 of each
}

}  // namespace
}  // namespace penstock::bench
