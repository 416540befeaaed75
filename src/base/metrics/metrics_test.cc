// SPDX-License-Identifier: Apache-2.0
#include "base/metrics/metrics.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <cstdlib>
#include <limits>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "base/metrics/metric_cells.h"

namespace penstock {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

TEST(MetricsTest, CountersOfAllThreadsAreSummed) {
  MetricsRegistry registry;
  Counter& counter = registry.AddCounter("requests_total", "Requests.");
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      for (int n = 0; n < 1000; ++n) counter.Add();
    });
  }
  for (std::thread& thread : threads) thread.join();  // ended threads count too
  counter.Add(5);
  EXPECT_EQ(counter.Value(), 4005u);
  EXPECT_EQ(registry.Text(),
            "# HELP requests_total Requests.\n# TYPE requests_total counter\n"
            "requests_total 4005\n");
}

TEST(MetricsTest, SameNameAndLabelsIsTheSameMetric) {
  MetricsRegistry registry;
  Counter& first = registry.AddCounter("c", "h", {{"code", "OK"}});
  EXPECT_EQ(&first, &registry.AddCounter("c", "h", {{"code", "OK"}}));
  EXPECT_NE(&first, &registry.AddCounter("c", "h", {{"code", "NOT_FOUND"}}));
}

TEST(MetricSeriesTest, SeriesAreShownAsLongAsTheirOwner) {
  MetricsRegistry registry;
  const std::string nothing = registry.Text();
  constexpr std::array<double, 1> kBounds = {1};
  {
    MetricSeries series(registry);
    series.AddCounter("c", "h", {{"version", "1"}}).Add(3);
    series.AddGauge("g", "h", {{"version", "1"}}).Set(3);
    Histogram& histogram = series.AddHistogram("l", "h", kBounds, {{"version", "1"}});
    series.AddAlias("a", "h", {{"version", "1"}}, histogram);
    EXPECT_THAT(registry.Text(), HasSubstr("a_count{version=\"1\"} 0\n"));
  }
  EXPECT_THAT(registry.Text(), Not(HasSubstr("version=\"1\"")));
}

TEST(MetricSeriesTest, TheNextSeriesBeginsAtZeroInTheSameMemory) {
  MetricsRegistry registry;
  constexpr std::array<double, 1> kBounds = {1};
  std::array<const void*, 3> first{};
  for (const char* version : {"1", "2", "3"}) {
    MetricSeries series(registry);
    Counter& counter = series.AddCounter("c", "h", {{"version", version}});
    Gauge& gauge = series.AddGauge("g", "h", {{"version", version}});
    Histogram& histogram = series.AddHistogram("l", "h", kBounds, {{"version", version}});
    EXPECT_EQ(counter.Value(), 0U);
    EXPECT_EQ(gauge.Value(), 0);
    EXPECT_EQ(histogram.Count(), 0U);
    const std::array<const void*, 3> metrics = {&counter, &gauge, &histogram};
    if (first[0] == nullptr) first = metrics;
    EXPECT_EQ(metrics, first);
    counter.Add(5);
    gauge.Set(5);
    histogram.Record(0.5);
    histogram.Record(7);
    const std::string text = registry.Text();
    const std::string label = std::string("version=\"") + version + "\"";
    EXPECT_THAT(text, HasSubstr("c{" + label + "} 5\n"));
    EXPECT_THAT(text, HasSubstr("g{" + label + "} 5\n"));
    EXPECT_THAT(text, HasSubstr("l_bucket{" + label + ",le=\"1\"} 1\n"));
    EXPECT_THAT(text, HasSubstr("l_sum{" + label + "} 7.5\nl_count{" + label + "} 2\n"));
  }
}

TEST(MetricSeriesTest, ASeriesOfTwoOwnersIsShownUntilBothHaveEnded) {
  MetricsRegistry registry;
  auto first = std::make_unique<MetricSeries>(registry);
  MetricSeries second(registry);
  Counter& counter = first->AddCounter("c", "h", {{"version", "1"}});
  EXPECT_EQ(&second.AddCounter("c", "h", {{"version", "1"}}), &counter);
  counter.Add(2);
  first.reset();
  EXPECT_THAT(registry.Text(), HasSubstr("c{version=\"1\"} 2\n"));
}

TEST(MetricSeriesTest, TotalsDoNotGoBack) {
  MetricsRegistry registry;
  constexpr std::array<double, 1> kBounds = {1};
  registry.AddTotals("l", "", "runs", "h", "time", "h");
  for (const char* version : {"1", "2"}) {
    MetricSeries series(registry);
    series.AddHistogram("l", "h", kBounds, {{"version", version}}).Record(4);
  }
  EXPECT_THAT(registry.Text(), AllOf(HasSubstr("runs 2\n"), HasSubstr("time 8\n")));
}

TEST(MetricSeriesTest, EndedSeriesLeaveRoomForOthers) {
  MetricsRegistry registry(/*series_max=*/2);
  for (int version = 0; version < 100; ++version) {
    MetricSeries series(registry);
    series.AddCounter("c", "h", {{"version", std::to_string(version)}}).Add(1);
    EXPECT_THAT(registry.Text(), Not(HasSubstr("other")));
  }
}

TEST(MetricsTest, GaugeGoesUpAndDown) {
  MetricsRegistry registry;
  Gauge& gauge = registry.AddGauge("g", "h", {{"m", "a"}});
  gauge.Set(2.5);
  gauge.Add(-1);
  EXPECT_EQ(gauge.Value(), 1.5);
  EXPECT_THAT(registry.Text(), HasSubstr("# TYPE g gauge\ng{m=\"a\"} 1.5\n"));
}

TEST(MetricsTest, HistogramBucketsAreCumulativeAndIncludeTheirBound) {
  MetricsRegistry registry;
  constexpr std::array<double, 2> kBounds = {1, 10};
  Histogram& histogram = registry.AddHistogram("h", "help", kBounds, {{"model", "m"}});
  for (const double value : {0.5, 1.0, 2.0, 100.0}) histogram.Record(value);
  EXPECT_EQ(histogram.Count(), 4u);
  EXPECT_EQ(registry.Text(),
            "# HELP h help\n# TYPE h histogram\n"
            "h_bucket{model=\"m\",le=\"1\"} 2\nh_bucket{model=\"m\",le=\"10\"} 3\n"
            "h_bucket{model=\"m\",le=\"+Inf\"} 4\nh_sum{model=\"m\"} 103.5\n"
            "h_count{model=\"m\"} 4\n");
}

TEST(MetricsTest, TextEscapesLabelsAndHelp) {
  MetricsRegistry registry;
  registry.AddGauge("g", "one\ntwo \\ \"three\"", {{"m", "a\"b\\c\nd"}});
  EXPECT_EQ(registry.Text(),
            "# HELP g one\\ntwo \\\\ \"three\"\n# TYPE g gauge\n"
            "g{m=\"a\\\"b\\\\c\\nd\"} 0\n");
}

TEST(MetricsTest, FamiliesAreSortedByName) {
  MetricsRegistry registry;
  registry.AddCounter("b", "h");
  registry.AddCounter("a", "h");
  const std::string text = registry.Text();
  EXPECT_LT(text.find("# TYPE a"), text.find("# TYPE b"));
}

TEST(MetricsTest, LabelSetsBeyondTheBoundShareOneSeries) {
  MetricsRegistry registry(2);
  for (const char* model : {"a", "b", "c", "d"})
    registry.AddCounter("c", "h", {{"model", model}, {"code", "OK"}}).Add();
  const std::string text = registry.Text();
  EXPECT_THAT(text, HasSubstr("c{model=\"a\",code=\"OK\"} 1\n"));
  EXPECT_THAT(text, HasSubstr("c{model=\"b\",code=\"OK\"} 1\n"));
  EXPECT_THAT(text, HasSubstr("c{model=\"other\",code=\"other\"} 2\n"));
  EXPECT_EQ(text.find("model=\"c\""), std::string::npos);
}

TEST(MetricsTest, EachValueIsInTheBucketOfTheFirstBoundThatIsNotBelowIt) {
  for (const double first : {1e-3, 0.7, 1.0, 10.0, 1e9}) {
    MetricsRegistry registry;
    std::vector<double> bounds;
    for (int i = 0; i < 60; ++i) bounds.push_back(first * std::pow(1.7, i));
    std::vector<uint64_t> expected(bounds.size() + 1);
    Histogram& histogram = registry.AddHistogram("h", "help", bounds);
    std::vector<double> values = {-1, 0, std::numeric_limits<double>::infinity(),
                                  std::numeric_limits<double>::quiet_NaN()};
    for (const double bound : bounds)
      for (const double value : {std::nextafter(bound, 0), bound, std::nextafter(bound, 1e300)})
        values.push_back(value);
    for (const double value : values) {
      histogram.Record(value);
      size_t bucket = 0;
      while (bucket < bounds.size() && !(value <= bounds[bucket])) ++bucket;
      ++expected[bucket];
    }
    uint64_t sum = 0;
    const std::string text = registry.Text();
    size_t at = 0;
    for (const uint64_t count : expected) {
      sum += count;
      at = text.find("\nh_bucket", at) + 1;
      EXPECT_EQ(std::strtoull(text.c_str() + text.find("} ", at) + 2, nullptr, 10), sum);
    }
  }
}

TEST(MetricsTest, AnAliasShowsTheSameNumbers) {
  MetricsRegistry registry;
  constexpr std::array<double, 1> kBounds = {1};
  Histogram& histogram = registry.AddHistogram("h", "help", kBounds, {{"m", "a"}});
  registry.AddAlias("other", "help", {{"model", "a"}, {"stage", "run"}}, histogram);
  histogram.Record(0.5);
  histogram.Record(3);
  EXPECT_THAT(registry.Text(), HasSubstr("other_bucket{model=\"a\",stage=\"run\",le=\"1\"} 1\n"));
  EXPECT_THAT(registry.Text(), HasSubstr("other_sum{model=\"a\",stage=\"run\"} 3.5\n"));
}

TEST(MetricsTest, TotalsAreOfAllHistogramsOfAName) {
  MetricsRegistry registry;
  registry.AddTotals("h", "shared", "runs", "Runs.", "time", "Their time.");
  EXPECT_THAT(registry.Text(), testing::Not(HasSubstr("\nruns "))) << "there is no histogram yet";
  constexpr std::array<double, 1> kBounds = {1};
  registry.AddHistogram("h", "help", kBounds, {{"m", "a"}}).Record(2);
  registry.AddHistogram("h", "help", kBounds, {{"m", "b"}}).Record(0.5);
  EXPECT_THAT(registry.Text(), HasSubstr("# TYPE runs counter\nruns 2\n"));
  EXPECT_THAT(registry.Text(), HasSubstr("\ntime 2.5\n"));
  registry.AddHistogram("shared", "help", {}).Record(0.5);
  EXPECT_THAT(registry.Text(), HasSubstr("\nruns 1\n"));
  EXPECT_THAT(registry.Text(), HasSubstr("\ntime 2\n"));
}

TEST(MetricsTest, CollectorsRunForEachPage) {
  MetricsRegistry registry(2);
  double value = 1;
  registry.AddCollector("seconds_total", "h", MetricKind::kCounter, [&] {
    return std::vector<MetricSample>{{{}, value}, {{{"a", "b"}}, 2}, {{{"too", "many"}}, 3}};
  });
  EXPECT_THAT(registry.Text(), HasSubstr("seconds_total 1\nseconds_total{a=\"b\"} 2\n"));
  value = std::numeric_limits<double>::infinity();
  EXPECT_THAT(registry.Text(), HasSubstr("# TYPE seconds_total counter\nseconds_total +Inf\n"));
  EXPECT_THAT(registry.Text(), testing::Not(HasSubstr("too")));
}

TEST(MetricsTest, ThreadsOutliveRegistries) {
  auto first = std::make_unique<MetricsRegistry>();
  auto second = std::make_unique<MetricsRegistry>();
  std::thread([&] {
    Counter& one = first->AddCounter("c", "h");
    Counter& two = second->AddCounter("c", "h");
    one.Add();
    two.Add(2);
    one.Add(3);
    EXPECT_EQ(one.Value(), 4u);
    EXPECT_EQ(two.Value(), 2u);
    first.reset();
    two.Add();
  }).join();
  EXPECT_EQ(second->AddCounter("c", "h").Value(), 3u);
}

TEST(MetricsTest, CountsOfAThreadsLastDestructorsAreKept) {
  struct CountsAtTheEnd {
    Counter* counter = nullptr;
    ~CountsAtTheEnd() { counter->Add(7); }
  };
  MetricsRegistry registry;
  Counter& counter = registry.AddCounter("c", "h");
  std::thread([&] {
    static thread_local CountsAtTheEnd at_end;  // made before the cells, so destroyed after them
    at_end.counter = &counter;
    counter.Add();
  }).join();
  EXPECT_EQ(counter.Value(), 8u);
}

TEST(MetricsTest, TensorFlowServingsLatencyBuckets) {
  ASSERT_EQ(LatencyBucketsUs().size(), 33u);
  EXPECT_EQ(LatencyBucketsUs()[0], 10);
  EXPECT_DOUBLE_EQ(LatencyBucketsUs()[2], 32.4);
}

TEST(MetricCellsTest, WithoutCellsLeftTheSharedOnesTakeTheCounts) {
  const auto cells = std::make_shared<MetricCells<uint64_t>>();
  const size_t all = MetricCells<uint64_t>::kCellsMax - MetricCells<uint64_t>::kSharedCells;
  EXPECT_EQ(cells->Allocate(all), MetricCells<uint64_t>::kSharedCells);
  EXPECT_EQ(cells->Allocate(1), 0u);
  cells->Add(0, 3);
  EXPECT_EQ(cells->Totals()[0], 0u);
}

TEST(MetricsDeathTest, OneNameHasOneKind) {
  MetricsRegistry registry;
  registry.AddCounter("c", "h");
  EXPECT_DEATH(registry.AddGauge("c", "h"), "two kinds of metric share a name");
  EXPECT_DEATH(registry.AddCounter("not a name", "h"), "letters, digits");
}

}  // namespace
}  // namespace penstock
