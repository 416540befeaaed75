// SPDX-License-Identifier: Apache-2.0
// The state of a Manager and its transitions; private to manager.cc and manager_impl.cc.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/executor.h"
#include "base/mutex.h"
#include "base/string_map.h"
#include "core/event_log.h"
#include "core/housekeeper.h"
#include "core/lookup.h"
#include "core/manager.h"
#include "core/model_versions.h"

namespace penstock::core {

// All state, and what changes it. Thread-safe. Every function that changes something takes the
// mutex, lets the models concerned advance, flushes (publishes what requests can find, then queues
// the events), and tells the events after letting go of the mutex.
class Manager::Impl final {
 public:
  explicit Impl(ManagerOptions options);

  Status SetModels(std::vector<ModelConfig> configs, bool is_complete_list) EXCLUDES(mutex_);
  Status RemoveModel(std::string_view name) EXCLUDES(mutex_);
  void SetAspired(std::string_view name, std::vector<AspiredVersion> versions) EXCLUDES(mutex_);
  void SetSourceStatus(std::string_view name, Status status) EXCLUDES(mutex_);
  std::vector<std::string> ModelNames() EXCLUDES(mutex_);
  std::vector<VersionStatus> VersionStatuses(std::string_view name) EXCLUDES(mutex_);
  Status SourceStatus(std::string_view name) EXCLUDES(mutex_);
  std::map<std::string, VersionNumber> Labels(std::string_view name) EXCLUDES(mutex_);
  bool WaitUntilIdle(SteadyTime until) EXCLUDES(mutex_);
  void StartDrain() EXCLUDES(mutex_);
  void Stop() EXCLUDES(mutex_);

  SnapshotCell& lookup() { return lookup_; }
  EventLog& events() { return events_; }

 private:
  // One model, from SetModels until it is removed and its last version is gone. Under the mutex.
  struct Model {
    Model(const std::string& name, std::vector<ManagerEvent>& events) : versions(name, events) {}

    ModelConfig config;
    bool is_configured = true;  // false: removed, and forgotten once its versions are gone
    Status source_status;
    ModelVersions versions;
  };

  Model* FindConfigured(std::string_view name) REQUIRES(mutex_);
  Status CheckConfig(const ModelConfig& config) REQUIRES(mutex_);
  void Configure(ModelConfig config) REQUIRES(mutex_);
  void Remove(Model& model) REQUIRES(mutex_);

  // Begins what the policy wants until it wants nothing more; forgets what is over.
  void Advance(Model& model) REQUIRES(mutex_);
  void StartLoad(Model& model, VersionNumber number) REQUIRES(mutex_);
  void StartUnload(Model& model, VersionNumber number) REQUIRES(mutex_);
  void UpdateLookup(const Model& model) REQUIRES(mutex_);
  void Flush() REQUIRES(mutex_);
  bool IsIdle() EXCLUDES(mutex_);

  // On a load thread.
  void Load(const ServableId& id, std::unique_ptr<Loader> loader) EXCLUDES(mutex_);
  StatusOr<std::unique_ptr<Servable>> TryLoad(const ServableId& id, Loader& loader)
      EXCLUDES(mutex_);
  Status Reserve(const ServableId& id, uint64_t bytes) EXCLUDES(mutex_);
  void FinishLoad(Model& model, const ServableId& id, std::unique_ptr<Servable> servable,
                  std::unique_ptr<Loader> loader) REQUIRES(mutex_);
  void FailLoad(Model& model, const ServableId& id, const Status& error,
                std::unique_ptr<Loader> loader) REQUIRES(mutex_);
  // Has the version loaded again after a pause that grows with `failures`; 0: not at all.
  void RetryLater(const ServableId& id, int failures) REQUIRES(mutex_);
  // On the housekeeper's thread.
  void Retire(const ServableId& id, uint64_t load, const Status& reason) EXCLUDES(mutex_);
  void FinishUnload(const ServableId& id) EXCLUDES(mutex_);
  void Retry(const ServableId& id, int failures) EXCLUDES(mutex_);

  // A version that requests can no longer find once the lookup has been published.
  struct ToUnload {
    ServableId id;
    std::unique_ptr<VersionEntry> entry;
  };

  const ManagerOptions options_;

  // Synchronised by themselves.
  SnapshotCell lookup_;
  EventLog events_;

  Mutex mutex_;
  std::vector<ManagerEvent> new_events_ GUARDED_BY(mutex_);
  std::map<std::string, Model, std::less<>> models_ GUARDED_BY(mutex_);
  // The models of the next snapshot, and whether they differ from the published one's.
  StringMap<std::shared_ptr<const Snapshot::Model>> lookup_models_ GUARDED_BY(mutex_);
  bool lookup_changed_ GUARDED_BY(mutex_) = false;
  std::vector<ToUnload> to_unload_ GUARDED_BY(mutex_);
  std::map<ServableId, uint64_t> reserved_bytes_ GUARDED_BY(mutex_);
  bool draining_ GUARDED_BY(mutex_) = false;
  bool stopped_ GUARDED_BY(mutex_) = false;

  // Last, so that their threads are joined first; loads may hand unloads to the housekeeper.
  Housekeeper housekeeper_;
  ThreadPool load_pool_;
};

}  // namespace penstock::core
