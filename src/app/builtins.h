// SPDX-License-Identifier: Apache-2.0
// The one list of what is built in: the front ends and the sources. A new one is a folder and a
// line in builtins.cc; a new backend is a shared object in the backend directory and needs none.
#pragma once

#include <memory>
#include <vector>

#include "app/model_list.h"
#include "app/settings.h"
#include "backends/host/backend_host.h"
#include "base/metrics.h"
#include "core/source.h"
#include "infer/engine.h"
#include "infer/frontend.h"
#include "infer/readiness.h"

namespace penstock {

// What the parts are made of. All of it outlives them.
struct Foundations {
  const Settings& settings;
  MetricsRegistry& metrics;
  BackendHost& backends;
  core::Manager& manager;
  Readiness& readiness;
  Engine& engine;
};

// In the order in which they are registered. Errors: a configuration file.
StatusOr<std::vector<std::unique_ptr<Frontend>>> MakeFrontends(const Foundations& with);

// Sources that together watch all of `models`. Errors: what the models' configuration says wrong.
StatusOr<std::vector<std::unique_ptr<core::Source>>> MakeSources(
    const Foundations& with, const std::vector<ConfiguredModel>& models);

}  // namespace penstock
