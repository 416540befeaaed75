// SPDX-License-Identifier: Apache-2.0
// What `penstock bench` is asked to do.
#pragma once

#include <chrono>
#include <cstdint>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/status.h"

namespace penstock::bench {

// The bounds of a run: a mistyped flag must not keep a machine busy for days, or fill its memory.
inline constexpr Duration kTimeMax = std::chrono::hours(1);
inline constexpr int64_t kConnectionsMax = 1000;
inline constexpr int64_t kStreamsMax = 10'000;
inline constexpr int64_t kThreadsMax = 64;
inline constexpr double kRateMax = 10e6;
inline constexpr size_t kRatesMax = 50;
inline constexpr int64_t kRequestsMax = 100'000'000;

// The shape of one input, as the user gives it.
struct InputShape {
  std::string input;
  std::vector<int64_t> dims;
};

// Which request is sent.
struct RequestOptions {
  std::string model;
  int64_t version = 0;  // 0: the server chooses
  std::string version_label;
  std::string signature;   // empty: "serving_default"
  std::string file;        // a PredictRequest; empty: one is made up
  int64_t batch_size = 0;  // rows of a made up request; 0: 1 where the signature leaves it open
  std::vector<InputShape> shapes;
  uint64_t seed = 1;
};

// How requests are sent.
struct LoadOptions {
  int64_t connections = 4;
  int64_t streams = 32;  // requests of a connection at a time, in a closed loop
  double rate = 0;       // requests per second on average; 0: a closed loop
  Duration warmup = std::chrono::seconds(2);
  Duration duration = std::chrono::seconds(10);
  Duration deadline{};                          // of each request; 0: none
  Duration timeout = std::chrono::seconds(10);  // the wait for the last answers
  int64_t requests_max = 10'000'000;            // of a run, warm-up included
  int64_t in_flight_max = 10'000;               // in open loop; what is due beyond that waits
  int64_t threads = 1;
  uint64_t seed = 1;
};

// The whole command line.
struct BenchOptions {
  std::string target = "localhost:8500";
  std::vector<std::pair<std::string, std::string>> metadata;
  RequestOptions request;
  LoadOptions load;           // its rate is one of `rates`
  std::vector<double> rates;  // empty: one run in a closed loop
  std::string name;           // of the series in the plot; empty: the model's
  std::string json_file, svg_file;
  std::vector<std::string> compare;  // JSON files of earlier runs, for the plot
  bool help = false;
};

// Parses the arguments after `penstock bench`. INVALID_ARGUMENT: an unknown flag (with the nearest
// known one), a value that cannot be read or is out of bounds, flags that do not go together.
StatusOr<BenchOptions> ParseBenchOptions(std::span<const std::string> arguments);

// The text of `penstock bench --help`.
std::string BenchHelp();

// Reads a duration such as "500ms", "10s" or "2m". A plain number is seconds.
StatusOr<Duration> ParseDuration(std::string_view text);
// Reads "NAME:1x784". "NAME:" is a scalar.
StatusOr<InputShape> ParseInputShape(std::string_view text);

}  // namespace penstock::bench
