// SPDX-License-Identifier: Apache-2.0
// The options of the host of the backends, and those of one load.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "base/executor.h"
#include "base/metrics/metrics.h"
#include "base/status.h"

namespace penstock {

// Settings of a backend or of a load, as text. Each backend documents its own.
using BackendOptions = std::vector<std::pair<std::string, std::string>>;

// Turns the models of a platform into models that a backend takes. Immutable.
struct ModelImporter {
  std::string platform;               // as "caffe2"
  std::vector<std::string> patterns;  // of file names by which a folder is recognised
  std::string backend;  // that gets the model, as the value of the load's option "model"
  // Returns the model of the version in a folder. Errors name the file or the folder. Slow, and
  // thread-safe.
  std::function<StatusOr<std::string>(const std::string& version_path)> import;
};

// The options that all backends of a server share. The pool and the metrics must outlive the host.
struct BackendHostOptions {
  std::string folder;        // of the backends; empty: `backends` beside the executable
  int intra_op_threads = 0;  // limit for threads inside one operation; 0 = UsableCpus()
  int inter_op_threads = 0;  // limit for operations in parallel; 0 = UsableCpus()
  std::map<std::string, BackendOptions> options;  // by name of the backend
  std::map<std::string, std::string> set_by;      // the flags of each backend, for messages
  std::vector<ModelImporter> importers;
  Executor* pool = nullptr;            // for tasks of backends; null: they are refused
  MetricsRegistry* metrics = nullptr;  // for metrics of backends; null: they are dropped
};

// The arguments of the load of one version.
struct LoadOptions {
  // Name of the backend or of the importer; empty: chosen by the folder's files.
  std::string platform;
  std::string model_name;  // for messages
  BackendOptions options;  // for the backend
  // Of a model that an importer made: its platform, which takes the place of the backend's in what
  // users see.
  std::string imported_from = {};
};

}  // namespace penstock
