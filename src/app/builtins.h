// SPDX-License-Identifier: Apache-2.0
// The lists of all front ends, sources and importers, and of their options. A new leaf needs its
// folder and its lines in builtins.cc. A new backend needs no line: it is a shared object in the
// backend directory.
#pragma once

#include <memory>
#include <vector>

#include "backends/host/host_options.h"
#include "base/metrics/metrics.h"
#include "base/options/option_row.h"
#include "base/options/option_table.h"
#include "infer/engine.h"
#include "infer/readiness.h"
#include "models/model_reloader.h"
#include "models/model_set.h"
#include "net/frontend.h"
#include "request_log/request_logs.h"
#include "schedule/scheduler.h"

namespace penstock {

// All options of the program, with those of the leaves.
const OptionTable& AllOptions();

// The parts of the server that the front ends use. They outlive the front ends.
struct FrontendDependencies {
  const OptionValues& options;
  MetricsRegistry& metrics;
  core::Manager& manager;
  Readiness& readiness;
  Engine& engine;
  const schedule::Scheduler& scheduler;
  ModelReloader& reloader;
  const RequestLogs& request_logs;
};

// Returns the front ends in the order of their registration. To add one, append a line to this
// function, and its #include. If it needs something of the server that FrontendDependencies lacks,
// add a member. Errors: a configuration file is wrong.
StatusOr<std::vector<std::unique_ptr<net::Frontend>>> MakeFrontends(
    const FrontendDependencies& with);

// Returns the sources. The first one that matches a base path reads it, so the order matters. To
// add one, append a line to this function, and its #include.
Sources MakeSources(const OptionValues& options, const SourceDependencies& with);

// Returns the importers of models that no backend takes as they are.
std::vector<ModelImporter> MakeImporters();

}  // namespace penstock
