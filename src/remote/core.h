// SPDX-License-Identifier: Apache-2.0
// What all requests of a remote version share.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "base/metrics/metrics.h"
#include "base/mutex.h"
#include "config/remote_config.h"
#include "core/servable.h"
#include "infer/engine.h"
#include "infer/signature.h"
#include "net/client/loop.h"
#include "remote/budgets.h"
#include "remote/settings.h"
#include "remote/target.h"

namespace penstock::remote {

// The threads with the connections of all remote models. Thread-safe.
class RemoteLoops final {
 public:
  explicit RemoteLoops(int64_t count);

  size_t size() const { return loops_.size(); }
  net::ClientLoop& at(size_t index) { return *loops_[index]; }
  // The loop for a new request: each in turn.
  size_t Next() { return next_.fetch_add(1, std::memory_order_relaxed) % loops_.size(); }

 private:
  std::vector<std::unique_ptr<net::ClientLoop>> loops_;
  std::atomic<size_t> next_{0};
};

// Makes the threads when the first remote version needs them. They end with the last one.
// Thread-safe.
class RemoteLoopsOwner final {
 public:
  explicit RemoteLoopsOwner(int64_t count) : count_(count) {}
  // Shared, because versions are unloaded in any order, also after this has gone.
  std::shared_ptr<RemoteLoops> Get() EXCLUDES(mutex_);

 private:
  const int64_t count_;
  Mutex mutex_;
  std::weak_ptr<RemoteLoops> loops_ GUARDED_BY(mutex_);
};

// The counts of a version. Thread-safe.
struct RemoteMetrics {
  RemoteMetrics(const core::ServableId& id, MetricsRegistry& registry);

  MetricSeries series;
  Counter& requests;
  Counter& failures;
  Counter& retries;
  Counter& hedges;
  Counter& ejections;
};

// What a loop knows of a version. Owned by loop.
struct LoopPart {
  explicit LoopPart(const RemoteSettings& settings)
      : retries(settings.retry_percent), hedges(settings.hedge_percent) {}

  ShareBudget retries;
  ShareBudget hedges;
  LatencyWindow latencies;
  std::minstd_rand random{std::random_device{}()};
};

// The targets of a version. Requests that have lost a race keep it for a moment after the version
// is gone, but use no channel then. Fixed after construction, but for the parts of the loops.
struct RemoteCore {
  RemoteCore(core::ServableId servable, RemoteVersion version, const RemoteSettings& limits,
             std::string secret, const Engine& server_engine, RemoteLoops& threads,
             MetricsRegistry& registry);

  const core::ServableId id;
  const RemoteVersion remote;
  const RemoteSettings settings;
  const Engine& engine;
  RemoteLoops& loops;
  RemoteMetrics metrics;
  std::vector<Target> targets;
  std::vector<LoopPart> parts;  // by loop
  // Sent with each call to a target: its token.
  std::vector<std::pair<std::string, std::string>> metadata;
  ModelInfo info;
};

}  // namespace penstock::remote
