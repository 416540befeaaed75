// SPDX-License-Identifier: Apache-2.0
// The models that are served: gives a list of them to the manager, to the sources and to the
// engine's experiments.
#pragma once

#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/metrics.h"
#include "base/mutex.h"
#include "core/version_selection.h"
#include "infer/experiments.h"
#include "infer/run_times.h"
#include "loading/memory_history.h"
#include "loading/warm_up.h"
#include "models/model_list.h"
#include "options/settings.h"
#include "sources/directory/directory_source.h"
#include "sources/fixed/fixed_source.h"
#include "sources/objectstore/object_store_source.h"

namespace penstock {

// Thread-safe. `backends`, `metrics`, `manager` and `experiments` outlive it.
class ModelSet final {
 public:
  ModelSet(const Settings& settings, BackendHost& backends, MetricsRegistry& metrics,
           core::Manager& manager, Experiments& experiments);

  // Replaces the list: models that are not in it are unloaded, new ones are loaded, the others go
  // on. All or nothing; does not wait for loads. What could not be loaded of the model `retried` is
  // tried again. `where` begins the messages. Errors:
  // INVALID_ARGUMENT: see CheckModels, a model that is there and changes its platform, or an object
  // store that cannot be used with these settings;
  // FAILED_PRECONDITION: a label moves to a version that is not available, a model moves between a
  // folder, an object store and what is built in, or the server is shutting down.
  Status Apply(const std::vector<ConfiguredModel>& models, std::string_view where,
               std::string_view retried = "") EXCLUDES(mutex_);

  // True if the model, of the list that was last applied, has the version at its base path: in an
  // object store as of the last look.
  bool HasVersion(const std::string& model, core::VersionNumber version) const EXCLUDES(mutex_);
  // True if it is known that there is no such version where the model shall be.
  bool LacksVersion(const ConfiguredModel& model, core::VersionNumber version) const
      EXCLUDES(mutex_);

  // The sources begin to tell the manager. Once.
  void Start();
  void Stop();

 private:
  // What is remembered of a model in the list.
  struct Place {
    std::string base_path;
    std::string platform;
    WarmUpOptions warm_up;
    core::VersionSelection selection;
    std::set<core::VersionNumber> labelled;
    uint64_t same_since = 0;  // the first list that had it at this path, with these versions wanted
  };

  // A list, as those see it who get it.
  struct Parts;

  Parts Divide(const std::vector<ConfiguredModel>& models, std::string_view retried) const
      REQUIRES(mutex_);
  // All that the sources could have against the list.
  Status CheckSources(const Parts& parts, std::string_view where) REQUIRES(mutex_);
  Status CheckPlaces(const std::vector<ConfiguredModel>& models, std::string_view where) const
      REQUIRES(mutex_);
  // As of the list with this number.
  Place PlaceOf(const ConfiguredModel& model, uint64_t generation) const REQUIRES(mutex_);
  WarmUpOptions WarmUpOf(const ConfiguredModel& model) const;
  FixedVersion BuiltinVersion(const ConfiguredModel& model) const;
  StatusOr<std::unique_ptr<core::Loader>> MakeLoader(const core::ServableId& id,
                                                     const std::string& path) EXCLUDES(mutex_);

  const LoadOptions load_options_;
  const InlineOptions inline_options_;
  const WarmUpOptions warm_up_options_;  // where a model says nothing else
  BackendHost& backends_;
  MetricsRegistry& metrics_;
  core::Manager& manager_;
  Experiments& experiments_;
  MemoryHistory memory_history_;
  FixedSource builtins_;
  DirectorySource folders_;
  ObjectStoreSource objects_;

  mutable Mutex mutex_;  // held while a list is applied, which waits for no source
  std::map<std::string, Place, std::less<>> places_ GUARDED_BY(mutex_);
  uint64_t generation_ GUARDED_BY(mutex_) = 0;  // of the list; tells what sources say of each
};

}  // namespace penstock
