// SPDX-License-Identifier: Apache-2.0
#include "tables/residence.h"

#include <sys/resource.h>

namespace penstock::tables {
namespace {

int64_t WaitsOfThread() {
  rusage usage = {};
  getrusage(RUSAGE_THREAD, &usage);
  return usage.ru_majflt;
}

}  // namespace

bool DiskWatch::HasCounted() {
  const int64_t waits = WaitsOfThread();
  return std::exchange(seen_, waits) != waits;
}

}  // namespace penstock::tables
