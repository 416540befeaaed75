// SPDX-License-Identifier: Apache-2.0
#include "batch/row_memory.h"

#include <algorithm>
#include <span>

namespace penstock::batch {
namespace {

// The estimate goes down by this part of the difference with each run. It goes up at once.
constexpr uint64_t kNewPart = 8;

// The bytes of a row of all `tensors` together. 0: some shape does not say it.
double RowBytes(std::span<const TensorSpec> tensors) {
  double sum = 0;
  for (const TensorSpec& spec : tensors) {
    if (spec.unknown_rank || spec.shape.rank() == 0) return 0;
    auto bytes = static_cast<double>(DTypeBytes(spec.dtype));
    for (const int64_t dim : spec.shape.dims().subspan(1)) {
      if (dim < 0) return 0;
      bytes *= static_cast<double>(dim);
    }
    sum += bytes;
  }
  return sum;
}

}  // namespace

RowMemory::RowMemory(const Signature& signature, uint64_t bytes_max)
    : bytes_max_(bytes_max), row_bytes_(0) {
  if (bytes_max_ == 0) return;
  const double inputs = RowBytes(signature.inputs), outputs = RowBytes(signature.outputs);
  if (inputs > 0 && outputs > 0) {
    Set(static_cast<uint64_t>(std::min(inputs + outputs, 1e18)));
  } else {
    rows_.store(kUnknownRowsMax, std::memory_order_relaxed);
  }
}

void RowMemory::Record(int64_t rows, uint64_t bytes) {
  if (bytes_max_ == 0 || rows <= 0) return;
  const uint64_t now = bytes / static_cast<uint64_t>(rows) + 1;
  const uint64_t before = row_bytes_.load(std::memory_order_relaxed);
  Set(now >= before ? now : before - (before - now) / kNewPart);
}

void RowMemory::Set(uint64_t row_bytes) {
  row_bytes_.store(row_bytes, std::memory_order_relaxed);
  const uint64_t rows = std::max<uint64_t>(bytes_max_ / row_bytes, 1);
  rows_.store(static_cast<int64_t>(std::min<uint64_t>(rows, INT64_MAX)), std::memory_order_relaxed);
}

}  // namespace penstock::batch
