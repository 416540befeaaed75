// SPDX-License-Identifier: Apache-2.0
// One server of a remote model: its connections, and how it does.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <random>
#include <span>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/metrics/metrics.h"
#include "net/client/channel.h"

namespace penstock::remote {

// Failures in a row after which a target gets no more requests for a while.
inline constexpr int kFailuresToEject = 3;
// The time of an ejection grows with each one, up to so many times the first one.
inline constexpr int kEjectionsMax = 6;

// Counts what a target does. Thread-safe.
class TargetRecord final {
 public:
  // `ejection_time` of 0: it is never ejected.
  TargetRecord(Duration ejection_time, Counter& ejections)
      : ejection_time_(ejection_time), ejections_counted_(ejections) {}

  void OnStart() { in_flight_.fetch_add(1, std::memory_order_relaxed); }
  void OnEnd() { in_flight_.fetch_sub(1, std::memory_order_relaxed); }
  // It has answered within this time, so it is not ejected any more.
  void OnGood(Duration latency, SteadyTime now);
  // It has failed, or another one was faster after this time.
  void OnBad(Duration latency, SteadyTime now);
  // A check of its health has failed: it is ejected until a check succeeds.
  void OnHealth(bool is_healthy);
  // It has never had the model, so it is no target until a check of its health succeeds.
  void LeaveOut() {
    is_absent_.store(true, std::memory_order_relaxed);
    is_healthy_.store(false, std::memory_order_relaxed);
  }

  // It answers well again, whatever failed before.
  void OnRecovered() {
    failures_.store(0, std::memory_order_relaxed);
    ejected_until_.store(0, std::memory_order_relaxed);
  }

  bool is_healthy() const { return is_healthy_.load(std::memory_order_relaxed); }
  bool is_absent() const { return is_absent_.load(std::memory_order_relaxed); }
  bool IsEjected(SteadyTime now) const {
    return !is_healthy() ||
           now.time_since_epoch().count() < ejected_until_.load(std::memory_order_relaxed);
  }
  // The larger, the longer a new request would take there. Forgets old times, so that a target that
  // was slow once is tried again.
  double Cost(SteadyTime now) const;

 private:
  void AddLatency(Duration latency, SteadyTime now, bool is_bad);

  const Duration ejection_time_;
  Counter& ejections_counted_;
  std::atomic<int64_t> in_flight_{0};
  std::atomic<int64_t> latency_ns_{0};  // 0: unknown
  std::atomic<int64_t> latency_at_{0};  // when it was measured
  std::atomic<int> failures_{0};        // in a row
  std::atomic<int> ejections_{0};       // in a row
  std::atomic<int64_t> ejected_until_{0};
  std::atomic<bool> is_healthy_{true};
  std::atomic<bool> is_absent_{false};
};

// A server and its connections, one for each loop. The record is thread-safe; the rest is fixed,
// but for what says otherwise. Shared by the requests that go to it: it may leave meanwhile.
struct Target {
  std::string name;  // "host:port"
  std::unique_ptr<TargetRecord> record;
  std::vector<std::shared_ptr<net::UnaryChannel>> channels;  // by loop; shards share them
  bool is_asked = false;  // by the health checker, which waits for the answer; owned by loop 0
};

// Picks the better one of two targets that chance has chosen. Those in `tried`, and those that are
// ejected, are only picked if there is no other one: first ejected ones that were not tried, of
// these first the ones that are healthy; then those in `tried`; and last those that are left out.
// The position in `targets`. REQUIRES: there are targets.
size_t PickTarget(std::span<const std::shared_ptr<Target>> targets,
                  std::span<const Target* const> tried, SteadyTime now, std::minstd_rand& random);

}  // namespace penstock::remote
