// SPDX-License-Identifier: Apache-2.0
// What the settings mean for each part of the server.
#pragma once

#include <string>
#include <vector>

#include "backends/host/backend_host.h"
#include "base/status.h"
#include "core/manager.h"
#include "frontends/admin/model_admin.h"
#include "frontends/tfs_grpc/predict_call.h"
#include "frontends/tfs_grpc/reload.h"
#include "frontends/tfs_rest/rest_frontend.h"
#include "infer/engine.h"
#include "infer/run_times.h"
#include "loading/warm_up.h"
#include "net/server.h"
#include "options/settings.h"
#include "sources/directory/directory_source.h"
#include "sources/objectstore/object_store_source.h"

namespace penstock {

// Applies log_level and log_format to the whole process; before other threads start.
void ConfigureLog(const Settings& settings);

// Where each of the two ports stands in ServerOptions::listen; -1: it does not listen.
struct PortPositions {
  int port = -1;
  int rest_api_port = -1;
};

// Errors: a configuration file that cannot be read or understood.
StatusOr<net::ServerOptions> NetOptions(const Settings& settings);
PortPositions FindPorts(const Settings& settings);
// Of the server for --health_port, which must not be 0.
net::ServerOptions HealthNetOptions(const Settings& settings);

// What all requests together may hold, and the decoded tensors of one. The default follows the
// memory that the process may use.
uint64_t InflightBytesMax(const Settings& settings);
uint64_t DecodedTensorBytesMax(const Settings& settings);

// Without experiments and budget.
EngineOptions MakeEngineOptions(const Settings& settings);
InlineOptions MakeInlineOptions(const Settings& settings);
AdminAccess MakeAdminAccess(const Settings& settings);
tfs::ReloadAccess MakeReloadAccess(const Settings& settings);
// INVALID_ARGUMENT if --ready_when is not understood.
StatusOr<core::ReadinessRule> MakeReadinessRule(const Settings& settings);
core::ManagerOptions MakeManagerOptions(const Settings& settings);
DirectorySourceOptions MakeDirectoryOptions(const Settings& settings);
ObjectStoreSourceOptions MakeObjectStoreOptions(const Settings& settings);
ThreadPoolOptions MakeComputeOptions(const Settings& settings);
// Without pool, metrics and callback.
// Whether what the flags name for backends is there; INVALID_ARGUMENT with the flag and the reason.
Status CheckPaths(const Settings& settings);
BackendHostOptions MakeBackendOptions(const Settings& settings);
// Without the model's name and platform.
LoadOptions MakeLoadOptions(const Settings& settings);
WarmUpOptions MakeWarmUpOptions(const Settings& settings);
tfs::PredictOptions MakePredictOptions(const Settings& settings);
tfs_rest::RestOptions MakeRestOptions(const Settings& settings);
// Where the metrics are. Errors as for NetOptions.
StatusOr<std::vector<std::string>> MetricsPaths(const Settings& settings);

}  // namespace penstock
