// SPDX-License-Identifier: Apache-2.0
// Loads a version of a table whose shards are on other servers.
#pragma once

#include <memory>
#include <string>
#include <utility>

#include "base/metrics/metrics.h"
#include "base/mutex.h"
#include "config/remote_config.h"
#include "core/loader.h"
#include "infer/engine.h"
#include "infer/run_times.h"
#include "remote/core.h"
#include "remote/settings.h"
#include "remote/shards/sharded_table.h"
#include "remote/version_watch.h"

namespace penstock::remote {

// Asks all targets of all shards what they have. The version loads as soon as each shard has been
// found, so that a server starts while some targets are still missing. One thread at a time but for
// Cancel. The references must outlive it and the loaded version, but for `loops`.
class ShardLoader final : public core::Loader {
 public:
  // `watch`: of a model whose versions are those of its targets; else null. REQUIRES: remote.shards
  // is not empty.
  ShardLoader(core::ServableId id, RemoteVersion remote, const RemoteSettings& settings,
              RemoteLoopsOwner& loops, const Engine& engine, MetricsRegistry& metrics,
              InlineOptions inline_options, std::shared_ptr<VersionWatch> watch = nullptr)
      : id_(std::move(id)),
        remote_(std::move(remote)),
        settings_(settings),
        loops_(loops),
        engine_(engine),
        metrics_(metrics),
        inline_options_(inline_options),
        watch_(std::move(watch)) {}

  // Errors: UNAVAILABLE: a shard has no target that has it; the message has what they said.
  // INVALID_ARGUMENT: a target has another shard than it should, or the shards are not of one
  // table; or the file with the token is no good.
  StatusOr<std::unique_ptr<core::Servable>> Load() override;
  void Cancel() override;

 private:
  class Search;

  std::shared_ptr<ShardedTable> MakeTable(RemoteLoops& loops, const std::string& token) const;

  const core::ServableId id_;
  const RemoteVersion remote_;
  const RemoteSettings settings_;
  RemoteLoopsOwner& loops_;
  const Engine& engine_;
  MetricsRegistry& metrics_;
  const InlineOptions inline_options_;
  const std::shared_ptr<VersionWatch> watch_;

  Mutex mutex_;
  std::shared_ptr<Search> search_ GUARDED_BY(mutex_);
};

}  // namespace penstock::remote
