// SPDX-License-Identifier: Apache-2.0
// The lists of all front ends and sources. A new one needs its folder and a line in builtins.cc. A
// new backend needs no line: it is a shared object in the backend directory.
#pragma once

#include <memory>
#include <vector>

#include "base/metrics/metrics.h"
#include "infer/engine.h"
#include "infer/readiness.h"
#include "models/model_reloader.h"
#include "models/model_set.h"
#include "net/frontend.h"
#include "options/settings.h"

namespace penstock {

// The dependencies of the front ends. All of them outlive the front ends.
struct Foundations {
  const Settings& settings;
  MetricsRegistry& metrics;
  core::Manager& manager;
  Readiness& readiness;
  Engine& engine;
  ModelReloader& reloader;
};

// Returns the front ends in the order of their registration. Errors: a configuration file is wrong.
StatusOr<std::vector<std::unique_ptr<net::Frontend>>> MakeFrontends(const Foundations& with);

// Returns the sources. The first one that matches a base path reads it.
Sources MakeSources(const SourceDependencies& with);

}  // namespace penstock
