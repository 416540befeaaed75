// SPDX-License-Identifier: Apache-2.0
// What all requests of a remote version share.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "base/metrics/metrics.h"
#include "config/remote_config.h"
#include "core/servable.h"
#include "infer/engine.h"
#include "infer/signature.h"
#include "remote/budgets.h"
#include "remote/loops.h"
#include "remote/settings.h"
#include "remote/target.h"
#include "remote/target_source.h"
#include "remote/target_table.h"

namespace penstock::remote {

// The counts of a version. Thread-safe.
struct RemoteMetrics {
  RemoteMetrics(const core::ServableId& id, MetricsRegistry& registry);

  MetricSeries series;
  Counter& requests;
  Counter& failures;
  Counter& retries;
  Counter& hedges;
  Counter& ejections;
  Counter& lookup_failures;
  Counter& unanswered;
  Gauge& targets;
};

// The connections that the shards of a version share: a target has one for each loop, however many
// shards it has. Owned by loop 0.
using ChannelPool = std::map<std::string, std::vector<std::weak_ptr<net::UnaryChannel>>>;

// What a loop knows of a version. Owned by loop.
struct LoopPart {
  explicit LoopPart(const RemoteSettings& settings)
      : retries(settings.retry_percent), hedges(settings.hedge_percent) {}

  std::shared_ptr<const Targets> targets = std::make_shared<Targets>();
  ShareBudget retries;
  ShareBudget hedges;
  LatencyWindow latencies;
  std::minstd_rand random{std::random_device{}()};
};

// What the requests of a version share. Those that have lost a race keep it for a moment after the
// version is gone, but use no channel then. Fixed after construction, but for the parts of the
// loops, and what says otherwise.
struct RemoteCore : public std::enable_shared_from_this<RemoteCore> {
  using OnFirst = std::function<void(const StatusOr<std::shared_ptr<const Targets>>& targets)>;

  RemoteCore(core::ServableId servable, RemoteVersion version, const RemoteSettings& limits,
             std::string secret, const Engine& server_engine, RemoteLoops& threads,
             MetricsRegistry& registry, std::shared_ptr<TargetSource> source,
             std::shared_ptr<ChannelPool> pool = nullptr);

  // Begins to find the targets. `on_first` gets the first ones, or why there are none, on loop 0.
  // Call it once, and Close later, in any case.
  void Open(OnFirst on_first);
  // Ends the search and all connections. Blocks for a moment. Called on any thread but those of
  // the loops.
  void Close();
  // A connection to a target has failed. Thread-safe.
  void NoteBrokenConnection(SteadyTime now);

  const core::ServableId id;
  const RemoteVersion remote;  // of a shard: its name and its targets
  const RemoteSettings settings;
  const Engine& engine;
  RemoteLoops& loops;
  RemoteMetrics metrics;
  std::vector<LoopPart> parts;  // by loop
  // Sent with each call to a target: its token.
  std::vector<std::pair<std::string, std::string>> metadata;
  ModelInfo info;
  // It is a shard, which a target may lack, and another one may have.
  bool is_shard = false;

 private:
  void OnTargets(const StatusOr<TargetList>& list);
  std::shared_ptr<Target> MakeTarget(const FoundTarget& found);

  const std::shared_ptr<TargetSource> source_;
  std::atomic<int64_t> next_refresh_{0};
  // Owned by loop 0:
  const std::shared_ptr<ChannelPool> pool_;  // of all shards; null: there is only one
  TargetTable table_;
  OnFirst on_first_;
};

}  // namespace penstock::remote
