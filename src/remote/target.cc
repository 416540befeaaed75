// SPDX-License-Identifier: Apache-2.0
#include "remote/target.h"

#include <algorithm>
#include <cmath>

#include "absl/container/inlined_vector.h"
#include "base/check.h"

namespace penstock::remote {
namespace {

// A new time counts for so much of the average.
constexpr double kNewShare = 0.125;
// After this time an old average counts for a third.
constexpr double kForgetSeconds = 10;
constexpr double kLatencyMinNs = 1000;

int64_t Ticks(SteadyTime time) { return time.time_since_epoch().count(); }

}  // namespace

void TargetRecord::AddLatency(Duration latency, SteadyTime now, bool is_bad) {
  // Two threads may lose a sample of each other, which does no harm.
  const auto before = static_cast<double>(latency_ns_.load(std::memory_order_relaxed));
  const auto ns = static_cast<double>(latency.count());
  double average = before == 0 ? ns : before + (ns - before) * kNewShare;
  // A failure says nothing good about a target, however quick it is.
  if (is_bad) average = std::max(before, ns);
  latency_ns_.store(static_cast<int64_t>(std::max(average, kLatencyMinNs)),
                    std::memory_order_relaxed);
  latency_at_.store(Ticks(now), std::memory_order_relaxed);
}

void TargetRecord::OnGood(Duration latency, SteadyTime now) {
  AddLatency(latency, now, /*is_bad=*/false);
  failures_.store(0, std::memory_order_relaxed);
  if (!IsEjected(now)) return ejections_.store(0, std::memory_order_relaxed);
  // It got a request because there was no better target, and can do its work again.
  ejected_until_.store(0, std::memory_order_relaxed);
  is_healthy_.store(true, std::memory_order_relaxed);
}

void TargetRecord::OnBad(Duration latency, SteadyTime now) {
  AddLatency(latency, now, /*is_bad=*/true);
  if (failures_.fetch_add(1, std::memory_order_relaxed) + 1 < kFailuresToEject) return;
  if (ejection_time_ <= Duration::zero() || IsEjected(now)) return;
  const int count = std::min(ejections_.fetch_add(1, std::memory_order_relaxed) + 1, kEjectionsMax);
  ejected_until_.store(Ticks(now + ejection_time_ * count), std::memory_order_relaxed);
  ejections_counted_.Add();
}

void TargetRecord::OnHealth(bool is_healthy) {
  if (is_healthy) is_absent_.store(false, std::memory_order_relaxed);
  if (is_healthy_.exchange(is_healthy, std::memory_order_relaxed) && !is_healthy)
    ejections_counted_.Add();
}

double TargetRecord::Cost(SteadyTime now) const {
  const auto latency = static_cast<double>(latency_ns_.load(std::memory_order_relaxed));
  const double seconds = std::chrono::duration<double>(
                             Duration(Ticks(now) - latency_at_.load(std::memory_order_relaxed)))
                             .count();
  const double remembered = latency * std::exp(-std::max(seconds, 0.0) / kForgetSeconds);
  const auto in_flight = static_cast<double>(in_flight_.load(std::memory_order_relaxed));
  return (in_flight + 1) * std::max(remembered, latency == 0 ? 0 : kLatencyMinNs);
}

size_t PickTarget(std::span<const std::shared_ptr<Target>> targets,
                  std::span<const Target* const> tried, SteadyTime now, std::minstd_rand& random) {
  absl::InlinedVector<size_t, 8> candidates;
  const auto collect = [&](auto fits) {
    for (size_t i = 0; i < targets.size(); ++i) {
      if (fits(i)) candidates.push_back(i);
    }
    return !candidates.empty();
  };
  const auto is_new = [&](size_t i) {
    return std::ranges::find(tried, targets[i].get()) == tried.end();
  };
  const bool is_found =
      collect([&](size_t i) { return is_new(i) && !targets[i]->record->IsEjected(now); }) ||
      collect([&](size_t i) { return is_new(i) && targets[i]->record->is_healthy(); }) ||
      collect([&](size_t i) { return is_new(i) && !targets[i]->record->is_absent(); }) ||
      collect([&](size_t i) { return !targets[i]->record->is_absent(); }) ||
      collect([](size_t) { return true; });
  PENSTOCK_CHECK(is_found, "a model without targets");
  std::uniform_int_distribution<size_t> any(0, candidates.size() - 1);
  const size_t first = candidates[any(random)];
  if (candidates.size() == 1) return first;
  // Another one than the first.
  std::uniform_int_distribution<size_t> other(1, candidates.size() - 1);
  const size_t at = static_cast<size_t>(std::ranges::find(candidates, first) - candidates.begin());
  const size_t second = candidates[(at + other(random)) % candidates.size()];
  return targets[second]->record->Cost(now) < targets[first]->record->Cost(now) ? second : first;
}

}  // namespace penstock::remote
