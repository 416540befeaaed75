// SPDX-License-Identifier: Apache-2.0
// Loads a version of a remote model: asks its targets what it is.
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
#include "remote/version_watch.h"

namespace penstock::remote {

// How long a target may take to describe a model, beside the time for the connection.
inline constexpr Duration kDescribeTime = std::chrono::seconds(10);
inline constexpr uint64_t kDescriptionBytesMax = 64 << 20;

// The version loads as soon as one target has described the model, so that a server starts while
// others are still missing. One thread at a time but for Cancel. The references must outlive it and
// the loaded version, but for `loops`.
class RemoteLoader final : public core::Loader {
 public:
  // `watch`: of a model whose versions are those of its targets; else null.
  RemoteLoader(core::ServableId id, RemoteVersion remote, const RemoteSettings& settings,
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

  // Errors: UNAVAILABLE: no target has answered well; the message has what they said.
  // INVALID_ARGUMENT: the file with the token cannot be read, or holds none.
  StatusOr<std::unique_ptr<core::Servable>> Load() override;
  void Cancel() override;

 private:
  class Question;

  const core::ServableId id_;
  const RemoteVersion remote_;
  const RemoteSettings settings_;
  RemoteLoopsOwner& loops_;
  const Engine& engine_;
  MetricsRegistry& metrics_;
  const InlineOptions inline_options_;
  const std::shared_ptr<VersionWatch> watch_;

  Mutex mutex_;
  std::shared_ptr<Question> question_ GUARDED_BY(mutex_);
};

}  // namespace penstock::remote
