// SPDX-License-Identifier: Apache-2.0
// How one version of a model gets into memory.
#pragma once

#include <cstdint>
#include <memory>

#include "base/status.h"
#include "core/servable.h"

namespace penstock::core {

// Loads one version. Cheap to make: a source makes one for every version that it aspires to,
// whether or not it is then loaded. One thread at a time; the manager calls it on its load threads.
class Loader {
 public:
  virtual ~Loader() = default;

  // Upper bound of the memory that the loaded version takes, in bytes; 0 = unknown, then nothing is
  // reserved. An error counts as a failed load.
  virtual StatusOr<uint64_t> EstimateResources() { return uint64_t{0}; }

  // The version, ready to serve; destroying it unloads it. Called again when the load is
  // retried: after an error, or when what it had loaded broke and is destroyed. Slow; runs on a
  // thread of low priority. The message of an error should say which file is wrong and why; the
  // manager adds the version's name.
  virtual StatusOr<std::unique_ptr<Servable>> Load() = 0;
};

}  // namespace penstock::core
