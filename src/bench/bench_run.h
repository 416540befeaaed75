// SPDX-License-Identifier: Apache-2.0
// `penstock bench`, without its command line.
#pragma once

#include <cstdio>

#include "base/status.h"
#include "bench/bench_options.h"

namespace penstock::bench {

// Asks the server for the model, sends the load of each rate, prints the table to `out`, and writes
// the files. The error says what was wrong: no server, no such model or signature, a request that
// the server refuses, a file that cannot be read or written, or that no request succeeded. Blocks.
Status RunBench(const BenchOptions& options, std::FILE* out);

}  // namespace penstock::bench
