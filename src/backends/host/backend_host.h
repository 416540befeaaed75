// SPDX-License-Identifier: Apache-2.0
// Finds the backends (shared objects that implement include/penstock/backend.h), opens one when the
// first model needs it, and makes a penstock::Model of each model that it loads.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/executor.h"
#include "base/metrics/metrics.h"
#include "base/mutex.h"
#include "base/status.h"
#include "infer/model.h"

namespace penstock {

// Settings of a backend or of a load, as text. Each backend documents its own.
using BackendOptions = std::vector<std::pair<std::string, std::string>>;

struct BackendHostOptions {
  std::string folder;        // of the backends; empty: `backends` beside the executable
  int intra_op_threads = 0;  // limit for threads inside one operation; 0 = UsableCpus()
  int inter_op_threads = 0;  // limit for operations in parallel; 0 = UsableCpus()
  std::map<std::string, BackendOptions> options;  // by name of the backend
  std::map<std::string, std::string> set_by;      // the flags of each backend, for messages
  Executor* pool = nullptr;                       // for tasks of backends; null: they are refused
  MetricsRegistry* metrics = nullptr;             // for metrics of backends; null: they are dropped
};

struct LoadOptions {
  std::string platform;    // name of the backend; empty: chosen by the folder's files
  std::string model_name;  // for messages
  BackendOptions options;  // for the backend
};

// Opens backends and loads models with them. Thread-safe. Construct it on a thread of normal OS
// priority: the threads of the runtimes inherit that priority, whichever thread loads the first
// model. It outlives the models that it loads; `pool` and `metrics` outlive it.
class BackendHost final {
 public:
  explicit BackendHost(BackendHostOptions options);
  ~BackendHost();

  // Loads the version in the folder `version_path`. Slow. Errors: NOT_FOUND (no such folder),
  // INVALID_ARGUMENT (no backend for its files), FAILED_PRECONDITION (the backend cannot be
  // opened), or the backend's own error, with the path and the reason.
  StatusOr<std::unique_ptr<Model>> Load(const std::string& version_path,
                                        const LoadOptions& options);

  // Estimates the memory of the loaded version in bytes: the backend's estimate, else the size of
  // the files and a share for the runtime. Errors as for Load.
  StatusOr<uint64_t> EstimateBytes(const std::string& version_path, const LoadOptions& options);

  // Returns the name of the backend for `version_path`. If `options` name it, the path is not read.
  // Errors as for Load.
  StatusOr<std::string> BackendFor(const std::string& version_path,
                                   const LoadOptions& options) const;

  // Loads the version and returns its description, for people.
  StatusOr<ModelInfo> Describe(const std::string& version_path, const LoadOptions& options);

  // Names of the backends in the folder, sorted.
  std::vector<std::string> Installed() const;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace penstock
