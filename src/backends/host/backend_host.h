// SPDX-License-Identifier: Apache-2.0
// Finds the backends (shared objects that implement include/penstock/backend.h), opens one when the
// first model needs it, and makes a penstock::Model of each model that it loads.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "backends/host/host_options.h"
#include "base/status.h"
#include "infer/model.h"

namespace penstock {

// Opens backends and loads models with them.
//
//   BackendHost host({.folder = "backends", .pool = &pool, .metrics = &metrics});
//   ASSIGN_OR_RETURN(std::unique_ptr<Model> model, host.Load("/models/m/1", {.model_name = "m"}));
//
// A backend is opened at its first load, and never closed. Thread-safe. Construct it on a thread of
// normal OS priority: the threads of the runtimes inherit that priority, whichever thread loads the
// first model. It outlives the models that it loads; `pool` and `metrics` outlive it.
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

  // Returns the name of the backend that runs models of this platform: another one if an importer
  // makes them.
  std::string RuntimeOf(const std::string& platform) const;

  // Loads the version and returns its description, for people.
  StatusOr<ModelInfo> Describe(const std::string& version_path, const LoadOptions& options);

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace penstock
