// SPDX-License-Identifier: Apache-2.0
#include "remote/core.h"

#include <utility>

#include "remote/channel_options.h"

namespace penstock::remote {
namespace {

// Failing connections ask the source to look again once in this time.
constexpr Duration kRefreshMin = std::chrono::seconds(1);

}  // namespace

RemoteMetrics::RemoteMetrics(const core::ServableId& id, MetricsRegistry& registry)
    : series(registry),
      requests(series.AddCounter(
          "penstock_remote_requests_total",
          "Requests that a remote model has sent to its targets, without "
          "the second tries.",
          {{"model_name", id.name}, {"model_version", std::to_string(id.version.value)}})),
      failures(series.AddCounter(
          "penstock_remote_failures_total",
          "Tries of a remote model that have failed because of a target or "
          "of its connection.",
          {{"model_name", id.name}, {"model_version", std::to_string(id.version.value)}})),
      retries(series.AddCounter(
          "penstock_remote_retries_total",
          "Requests of a remote model that were tried again after a failure.",
          {{"model_name", id.name}, {"model_version", std::to_string(id.version.value)}})),
      hedges(series.AddCounter(
          "penstock_remote_hedges_total",
          "Requests of a remote model that were sent to a second target "
          "because the first one was slow.",
          {{"model_name", id.name}, {"model_version", std::to_string(id.version.value)}})),
      ejections(series.AddCounter(
          "penstock_remote_ejections_total",
          "Times that a target of a remote model was taken out because it "
          "failed.",
          {{"model_name", id.name}, {"model_version", std::to_string(id.version.value)}})),
      lookup_failures(series.AddCounter(
          "penstock_remote_lookup_failures_total",
          "Times that the list of a remote model's targets could not be made anew, such as failed "
          "look-ups in the DNS. The former targets stay.",
          {{"model_name", id.name}, {"model_version", std::to_string(id.version.value)}})),
      unanswered(series.AddCounter(
          "penstock_remote_unanswered_total",
          "Requests to a shard of a table that no target has answered, so that clients got default "
          "rows.",
          {{"model_name", id.name}, {"model_version", std::to_string(id.version.value)}})),
      targets(series.AddGauge(
          "penstock_remote_targets",
          "Targets that the requests of a remote model may go to, also those taken out for a "
          "while.",
          {{"model_name", id.name}, {"model_version", std::to_string(id.version.value)}})) {}

RemoteCore::RemoteCore(core::ServableId servable, RemoteVersion version,
                       const RemoteSettings& limits, std::string secret,
                       const Engine& server_engine, RemoteLoops& threads, MetricsRegistry& registry,
                       std::shared_ptr<TargetSource> source, std::shared_ptr<ChannelPool> pool)
    : id(std::move(servable)),
      remote(std::move(version)),
      settings(limits),
      engine(server_engine),
      loops(threads),
      metrics(id, registry),
      source_(std::move(source)),
      pool_(std::move(pool)),
      table_([this](const FoundTarget& found) { return MakeTarget(found); }) {
  if (!secret.empty()) metadata.emplace_back("authorization", "Bearer " + secret);
  for (size_t i = 0; i < loops.size(); ++i) parts.emplace_back(settings);
}

void RemoteCore::Open(OnFirst on_first) {
  // Before the source begins, so that nothing else is at work.
  on_first_ = std::move(on_first);
  source_->Start([this](const StatusOr<TargetList>& list) { OnTargets(list); });
}

void RemoteCore::Close() {
  source_->Stop();
  on_first_ = nullptr;
  table_.Close();
}

void RemoteCore::NoteBrokenConnection(SteadyTime now) {
  const int64_t ticks = now.time_since_epoch().count();
  int64_t next = next_refresh_.load(std::memory_order_relaxed);
  if (ticks < next) return;
  if (next_refresh_.compare_exchange_strong(next, ticks + kRefreshMin.count(),
                                            std::memory_order_relaxed))
    source_->Refresh();
}

void RemoteCore::OnTargets(const StatusOr<TargetList>& list) {
  OnFirst on_first = std::exchange(on_first_, nullptr);
  if (!list.ok()) {
    metrics.lookup_failures.Add();
    if (on_first) on_first(list.status());
    return;
  }
  const std::shared_ptr<const Targets> targets = table_.Set(*list);
  metrics.targets.Set(static_cast<int64_t>(targets->size()));
  if (on_first) {
    // No request has begun: none needs the change to come in the order of its loop's tasks.
    for (LoopPart& part : parts) part.targets = targets;
    return on_first(targets);
  }
  for (size_t i = 0; i < parts.size(); ++i) {
    loops.at(i).Post([self = shared_from_this(), i, targets] { self->parts[i].targets = targets; });
  }
}

std::shared_ptr<Target> RemoteCore::MakeTarget(const FoundTarget& found) {
  auto target = std::make_shared<Target>();
  const net::ChannelOptions options = ChannelOf(found, remote, settings);
  target->name = options.Address();
  target->record = std::make_unique<TargetRecord>(settings.ejection_time, metrics.ejections);
  if (pool_ != nullptr) {
    for (const auto& each : (*pool_)[target->name]) {
      if (auto channel = each.lock()) target->channels.push_back(std::move(channel));
    }
    if (target->channels.size() == loops.size()) return target;
    target->channels.clear();  // they are ending
  }
  for (size_t i = 0; i < loops.size(); ++i)
    target->channels.push_back(loops.Connect(i, ChannelOf(found, remote, settings)));
  if (pool_ != nullptr)
    (*pool_)[target->name].assign(target->channels.begin(), target->channels.end());
  return target;
}

}  // namespace penstock::remote
