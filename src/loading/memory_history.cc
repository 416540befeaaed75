// SPDX-License-Identifier: Apache-2.0
// The size of a version's files is a poor estimate of its memory, but the ratio of memory to files
// is much the same for all versions of a model. So the last measured version corrects the estimate
// of the next one. A measurement is only the growth of the whole process during a load, so it is
// limited to plausible values first.
//
// See docs/decisions/0015-memory-is-measured-by-loads-that-run-alone.md.
#include "loading/memory_history.h"

#include <algorithm>

#include "base/saturating.h"

namespace penstock {
namespace {

// Quantised weights may expand to eight times their bytes. A runtime may take some 100 MB for
// itself when it loads its first model.
constexpr uint64_t kFactorMax = 8;
constexpr uint64_t kFixedBytesMax = 256 << 20;

}  // namespace

MeasuredLoad KeepPlausible(const core::MemoryGrowth& growth, uint64_t estimated_bytes,
                           uint64_t bytes_min) {
  const uint64_t bytes_max = std::max(
      bytes_min, SaturatingSum(SaturatingProduct(estimated_bytes, kFactorMax), kFixedBytesMax));
  MeasuredLoad load{.estimated_bytes = estimated_bytes,
                    .taken_bytes = std::clamp(growth.bytes, bytes_min, bytes_max)};
  // Zero means that the peak is not known.
  if (growth.peak_bytes > 0)
    load.extra_bytes =
        std::clamp(growth.peak_bytes, load.taken_bytes, bytes_max) - load.taken_bytes;
  return load;
}

// Bytes beyond the largest factor cannot depend on the size of the model, so they are a fixed part.
MemoryHistory::Law MemoryHistory::Law::From(uint64_t estimated_bytes, uint64_t bytes) {
  const uint64_t growing = std::min(bytes, SaturatingProduct(estimated_bytes, kFactorMax));
  // There is no ratio to zero bytes.
  if (estimated_bytes == 0) return {.factor = 0, .fixed_bytes = bytes};
  return {.factor = static_cast<double>(growing) / static_cast<double>(estimated_bytes),
          .fixed_bytes = bytes - growing};
}

uint64_t MemoryHistory::Law::At(uint64_t estimated_bytes) const {
  const double growing = static_cast<double>(estimated_bytes) * factor;
  constexpr double kGrowingMax = 1e18;  // fits into 64 bits, and is more than any machine has
  return SaturatingSum(static_cast<uint64_t>(std::min(growing, kGrowingMax)), fixed_bytes);
}

void MemoryHistory::Note(const std::string& model, const std::string& backend,
                         const MeasuredLoad& load) {
  MutexLock lock(mutex_);
  Known& known = models_[model];
  // Another backend has its own ratio of memory to files.
  if (known.backend != backend) known = {};
  known.backend = backend;
  known.taken = Law::From(load.estimated_bytes, load.taken_bytes);
  if (load.extra_bytes) known.extra = Law::From(load.estimated_bytes, *load.extra_bytes);
}

core::ResourceEstimate MemoryHistory::Estimate(const std::string& model, const std::string& backend,
                                               uint64_t estimated_bytes) const {
  MutexLock lock(mutex_);
  const auto found = models_.find(model);
  if (found == models_.end() || (!backend.empty() && backend != found->second.backend))
    return {.ram_bytes = estimated_bytes};
  const Known& known = found->second;
  return {.ram_bytes = known.taken.At(estimated_bytes),
          .load_extra_bytes = known.extra.At(estimated_bytes)};
}

void MemoryHistory::KeepOnly(const std::set<std::string>& models) {
  MutexLock lock(mutex_);
  std::erase_if(models_, [&](const auto& known) { return !models.contains(known.first); });
}

}  // namespace penstock
