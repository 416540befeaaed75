// SPDX-License-Identifier: Apache-2.0
#include "core/lookup.h"

#include <chrono>
#include <thread>

namespace penstock::core {

void SnapshotCell::WaitForReaders() const {
  readers_.ForEach([](const std::atomic<int64_t>& inside) {
    while (inside.load(std::memory_order_seq_cst) != 0) {
      std::this_thread::sleep_for(std::chrono::microseconds(20));
    }
  });
}

}  // namespace penstock::core
