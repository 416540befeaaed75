// SPDX-License-Identifier: Apache-2.0
// How many rows of a model fit into the memory that a batch may take.
#pragma once

#include <atomic>
#include <cstdint>

#include "infer/signature.h"

namespace penstock::batch {

// Knows how many bytes the inputs and outputs of a row take: by the shapes of the signature, or
// else by the runs so far. Before the first run of a signature whose shapes do not say it, batches
// have at most kUnknownRowsMax rows. Thread-safe.
class RowMemory final {
 public:
  static constexpr int64_t kUnknownRowsMax = 16;

  // `bytes_max` is for all rows of a batch. 0: no limit.
  RowMemory(const Signature& signature, uint64_t bytes_max);

  // The most rows that fit, and at least 1: a request runs alone, whatever it takes.
  int64_t rows() const { return rows_.load(std::memory_order_relaxed); }
  bool is_known() const { return row_bytes_.load(std::memory_order_relaxed) != 0; }
  // The inputs and outputs of a run of so many rows have taken `bytes`.
  void Record(int64_t rows, uint64_t bytes);

 private:
  void Set(uint64_t row_bytes);

  const uint64_t bytes_max_;
  std::atomic<uint64_t> row_bytes_;  // 0: unknown
  std::atomic<int64_t> rows_{INT64_MAX};
};

}  // namespace penstock::batch
