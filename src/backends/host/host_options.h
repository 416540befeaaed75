// SPDX-License-Identifier: Apache-2.0
// The options of the host of the backends, and those of one load.
#pragma once

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "base/executor.h"
#include "base/metrics/metrics.h"

namespace penstock {

// Settings of a backend or of a load, as text. Each backend documents its own.
using BackendOptions = std::vector<std::pair<std::string, std::string>>;

// The options that all backends of a server share. The pool and the metrics must outlive the host.
struct BackendHostOptions {
  std::string folder;        // of the backends; empty: `backends` beside the executable
  int intra_op_threads = 0;  // limit for threads inside one operation; 0 = UsableCpus()
  int inter_op_threads = 0;  // limit for operations in parallel; 0 = UsableCpus()
  std::map<std::string, BackendOptions> options;  // by name of the backend
  std::map<std::string, std::string> set_by;      // the flags of each backend, for messages
  Executor* pool = nullptr;                       // for tasks of backends; null: they are refused
  MetricsRegistry* metrics = nullptr;             // for metrics of backends; null: they are dropped
};

// The arguments of the load of one version.
struct LoadOptions {
  std::string platform;    // name of the backend; empty: chosen by the folder's files
  std::string model_name;  // for messages
  BackendOptions options;  // for the backend
};

}  // namespace penstock
