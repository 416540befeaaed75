// SPDX-License-Identifier: Apache-2.0
// The one list of the front ends that are built in. A new one is a folder and a line in
// builtins.cc; a new backend is a shared object in the backend directory and needs none.
#pragma once

#include <memory>
#include <vector>

#include "base/metrics.h"
#include "infer/engine.h"
#include "infer/frontend.h"
#include "infer/readiness.h"
#include "models/model_reloader.h"
#include "options/settings.h"

namespace penstock {

// What the parts are made of. All of it outlives them.
struct Foundations {
  const Settings& settings;
  MetricsRegistry& metrics;
  core::Manager& manager;
  Readiness& readiness;
  Engine& engine;
  ModelReloader& reloader;
};

// In the order in which they are registered. Errors: a configuration file.
StatusOr<std::vector<std::unique_ptr<Frontend>>> MakeFrontends(const Foundations& with);

}  // namespace penstock
