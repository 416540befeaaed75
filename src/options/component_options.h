// SPDX-License-Identifier: Apache-2.0
// Converts the settings to the options of each component of the server.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "backends/host/backend_host.h"
#include "base/status.h"
#include "core/manager.h"
#include "infer/engine.h"
#include "infer/run_times.h"
#include "loading/warm_up.h"
#include "net/options.h"
#include "options/settings.h"

namespace penstock {

// Applies log_level and log_format to the whole process. Call it before other threads start.
void ConfigureLog(const Settings& settings);

// What paths that only --graphpipe_port serves begin with (net::ListenOptions::own_paths).
inline constexpr std::string_view kGraphPipePaths = "graphpipe:";

// The positions of the ports in ServerOptions::listen. -1: the server does not listen on it.
struct PortPositions {
  int port = -1;
  int rest_api_port = -1;
  int graphpipe_port = -1;
};

// Errors: a configuration file cannot be read or has a mistake.
StatusOr<net::ServerOptions> NetOptions(const Settings& settings);
PortPositions FindPorts(const Settings& settings);
// The options of the server for --health_port, which must not be 0.
net::ServerOptions HealthNetOptions(const Settings& settings);
// The options of the server for --admin_port and --admin_socket, of which at least one must be set.
// `tls` is that of the other ports.
net::ServerOptions AdminNetOptions(const Settings& settings, const net::TlsOptions& tls);

// The limits for the memory of all requests together, and for the decoded tensors of one request.
// The defaults depend on the memory that the process may use.
uint64_t InflightBytesMax(const Settings& settings);
uint64_t DecodedTensorBytesMax(const Settings& settings);

// Does not set the experiments and the budget, which ModelServer owns.
EngineOptions MakeEngineOptions(const Settings& settings);
// INVALID_ARGUMENT if --ready_when has a mistake.
StatusOr<core::ReadinessRule> MakeReadinessRule(const Settings& settings);
core::ManagerOptions MakeManagerOptions(const Settings& settings);
schedule::SchedulerOptions MakeSchedulerOptions(const Settings& settings);
// How models are batched whose configuration does not say otherwise.
struct BatchDefaults {
  batch::BatchSettings settings;
  uint32_t runs = 1;         // at the same time, of a model that is batched
  bool per_version = false;  // the folder of each version has the settings
};
BatchDefaults MakeBatchDefaults(const Settings& settings);
// Reads --batching_parameters_file, if it is set, into `settings`. Errors: the file cannot be read,
// or has a mistake.
Status ReadBatchingFile(Settings& settings);
// Checks the files and folders that flags name for the backends: they must exist and be of the
// right kind. INVALID_ARGUMENT, with the flag and the reason, if one is not.
Status CheckPaths(const Settings& settings);
// Does not set the pool and the metrics.
BackendHostOptions MakeBackendOptions(const Settings& settings);
// Does not set the model's name and platform.
LoadOptions MakeLoadOptions(const Settings& settings);
WarmUpOptions MakeWarmUpOptions(const Settings& settings);
// The URL paths of the metrics. Errors as for NetOptions.
StatusOr<std::vector<std::string>> MetricsPaths(const Settings& settings);

}  // namespace penstock
