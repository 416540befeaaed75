// SPDX-License-Identifier: Apache-2.0
// Finds the backends (shared objects behind include/penstock/backend.h), opens one when the first
// model needs it, and makes penstock::Model of what it loads.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/executor.h"
#include "base/metrics.h"
#include "base/mutex.h"
#include "base/status.h"
#include "infer/model.h"

namespace penstock {

// Settings of a backend or of a load, as text. Each backend says which ones it knows.
using BackendOptions = std::vector<std::pair<std::string, std::string>>;

struct BackendHostOptions {
  std::string folder;        // of the backends; empty: `backends` beside the executable
  int intra_op_threads = 0;  // budget for threads inside one operation; 0 = UsableCpus()
  int inter_op_threads = 0;  // and for operations side by side; 0 = UsableCpus()
  std::map<std::string, BackendOptions> options;  // by name of the backend
  std::map<std::string, std::string> set_by;      // the same: which setting they are, for messages
  Executor* pool = nullptr;            // where backends may run tasks; null: their wish is refused
  MetricsRegistry* metrics = nullptr;  // where backends may count; null: it is dropped
};

struct LoadOptions {
  std::string platform;    // name of the backend; empty: found by the folder's content
  std::string model_name;  // for messages
  BackendOptions options;  // for the backend
};

// Thread-safe. Construct it on a thread of normal OS priority: the threads of the runtimes get the
// priority of that one, whoever loads the first model. Outlives the models it loaded. `pool` and
// `metrics` outlive it.
class BackendHost final {
 public:
  explicit BackendHost(BackendHostOptions options);
  ~BackendHost();

  // Loads the version in the folder `version_path`. Slow. Errors: NOT_FOUND (no such folder),
  // INVALID_ARGUMENT (no backend for what it holds), FAILED_PRECONDITION (the backend cannot be
  // opened), or the backend's own, with the path and the reason.
  StatusOr<std::unique_ptr<Model>> Load(const std::string& version_path,
                                        const LoadOptions& options);

  // About the bytes of memory that the version takes once loaded: what the backend says, else the
  // size of its files and a share for what runtimes add. Errors as for Load.
  StatusOr<uint64_t> EstimateBytes(const std::string& version_path, const LoadOptions& options);

  // The name of the backend that `version_path` needs; if `options` name it, the path is not looked
  // at. Errors as for Load.
  StatusOr<std::string> BackendFor(const std::string& version_path,
                                   const LoadOptions& options) const;

  // What the version says about itself; for people. Loads it.
  StatusOr<ModelInfo> Describe(const std::string& version_path, const LoadOptions& options);

  // Names of the backends in the folder, sorted.
  std::vector<std::string> Installed() const;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace penstock
