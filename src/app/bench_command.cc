// SPDX-License-Identifier: Apache-2.0
// `penstock bench`: measures a model of a running server.
#include <fmt/format.h>

#include <cstdio>

#include "app/commands.h"
#include "bench/bench_options.h"
#include "bench/bench_run.h"

namespace penstock {

int BenchCommand(std::span<const std::string> arguments) {
  const auto fail = [](const Status& status) {
    fmt::print(stderr, "penstock bench: {}\n", MessageOf(status));
    return 1;
  };
  const StatusOr<bench::BenchOptions> options = bench::ParseBenchOptions(arguments);
  if (!options.ok()) return fail(options.status());
  if (options->help) {
    fmt::print("{}", bench::BenchHelp());
    return 0;
  }
  const Status status = bench::RunBench(*options, stdout);
  return status.ok() ? 0 : fail(status);
}

}  // namespace penstock
