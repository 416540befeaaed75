// SPDX-License-Identifier: Apache-2.0
#include "core/background_threads.h"

#include <malloc.h>

#include <algorithm>
#include <limits>

namespace penstock::core {

BackgroundThreads::BackgroundThreads(BackgroundOptions options, SnapshotCell& lookup)
    : unload_pool_({.name = "unload",
                    .threads = std::max(1, options.unload_threads),
                    .queue_tasks_max = std::numeric_limits<size_t>::max(),
                    .nice = options.nice}),
      housekeeper_(lookup, unload_pool_, options.nice),
      load_pool_(options.load_threads, options.nice) {
  // Unload threads call malloc_trim. Where a sanitizer has replaced the heap, the first call sets
  // up the heap of the C library, which two threads must not do at the same time. So call it here.
  malloc_trim(0);
}

}  // namespace penstock::core
