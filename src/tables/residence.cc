// SPDX-License-Identifier: Apache-2.0
#include "tables/residence.h"

#include <sys/resource.h>

namespace penstock::tables {

int64_t DiskWaitsOfThread() {
  rusage usage = {};
  getrusage(RUSAGE_THREAD, &usage);
  return usage.ru_majflt;
}

}  // namespace penstock::tables
