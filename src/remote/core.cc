// SPDX-License-Identifier: Apache-2.0
#include "remote/core.h"

#include <fmt/format.h>

#include <utility>

namespace penstock::remote {
namespace {

net::ChannelOptions ChannelOf(const RemoteTarget& target, const RemoteVersion& remote,
                              const RemoteSettings& settings) {
  net::ChannelOptions options;
  options.host = target.host;
  options.port = target.port;
  if (remote.tls)
    options.tls = std::make_unique<net::ClientTlsOptions>(
        net::ClientTlsOptions{.ca_file = remote.tls->ca_file,
                              .certificate_file = remote.tls->certificate_file,
                              .key_file = remote.tls->key_file,
                              .server_name = remote.tls->server_name});
  options.connect_timeout = settings.connect_timeout;
  options.keepalive_time = settings.keepalive_time;
  options.keepalive_timeout = settings.keepalive_timeout;
  options.calls_max = settings.calls_max;
  return options;
}

}  // namespace

RemoteLoops::RemoteLoops(int64_t count) {
  for (int64_t i = 0; i < count; ++i)
    loops_.push_back(std::make_unique<net::ClientLoop>(fmt::format("remote-{}", i)));
}

std::shared_ptr<RemoteLoops> RemoteLoopsOwner::Get() {
  MutexLock lock(mutex_);
  std::shared_ptr<RemoteLoops> loops = loops_.lock();
  if (loops == nullptr) loops_ = loops = std::make_shared<RemoteLoops>(count_);
  return loops;
}

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
          {{"model_name", id.name}, {"model_version", std::to_string(id.version.value)}})) {}

RemoteCore::RemoteCore(core::ServableId servable, RemoteVersion version,
                       const RemoteSettings& limits, std::string secret,
                       const Engine& server_engine, RemoteLoops& threads, MetricsRegistry& registry)
    : id(std::move(servable)),
      remote(std::move(version)),
      settings(limits),
      engine(server_engine),
      loops(threads),
      metrics(id, registry) {
  if (!secret.empty()) metadata.emplace_back("authorization", "Bearer " + secret);
  for (size_t i = 0; i < loops.size(); ++i) parts.emplace_back(settings);
  for (const RemoteTarget& each : remote.targets) {
    Target target{
        .name = each.ToString(),
        .record = std::make_unique<TargetRecord>(settings.ejection_time, metrics.ejections),
        .channels = {}};
    for (size_t i = 0; i < loops.size(); ++i)
      target.channels.push_back(
          std::make_unique<net::GrpcChannel>(loops.at(i), ChannelOf(each, remote, settings)));
    targets.push_back(std::move(target));
  }
}

}  // namespace penstock::remote
