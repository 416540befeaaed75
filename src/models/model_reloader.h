// SPDX-License-Identifier: Apache-2.0
// Changes the list of models while the server runs: because a client or an operator asks for it,
// because --model_config_file has changed, or because of SIGHUP. On a thread of its own: changes
// are applied one at a time, in the order in which they come; those before wait for their effect
// meanwhile.
#pragma once

#include <atomic>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "base/clock.h"
#include "base/mutex.h"
#include "frontends/admin/model_change.h"
#include "frontends/tfs_grpc/reload.h"
#include "models/change_queue.h"
#include "models/model_overrides.h"
#include "models/model_set.h"
#include "models/pending_changes.h"
#include "options/settings.h"

namespace penstock {

// Thread-safe. `settings`, `models` and `manager` outlive it.
class ModelReloader final {
 public:
  ModelReloader(const Settings& settings, ModelSet& models, core::Manager& manager);
  ~ModelReloader();  // stops it

  // The first list, with what operators have changed over it in earlier lives of the server. Before
  // Start. Errors: the state file, and as ModelSet::Apply.
  Status ApplyFirst(std::vector<tfs::ConfiguredModel> base, std::string_view where);
  // Begins to take changes, and to look at the file if the settings want it. Once.
  void Start();
  // Clients that still wait get UNAVAILABLE. After the return the list does not change any more.
  void Stop() EXCLUDES(mutex_);

  // Reads the file again, also if it has not changed. What is wrong with it is logged, and the list
  // stays as it is.
  void ReloadFile() EXCLUDES(mutex_);
  // Applies the list of a client, and answers when it has its effect. With too many under way:
  // UNAVAILABLE. A list answers ABORTED if another change takes away a model that it waits for.
  void Submit(tfs::ReloadRequest request) EXCLUDES(mutex_);
  // The same with the change of an operator. It is applied once those of the same model that came
  // before have been answered; to remove or unload a model waits for none, and once that is done
  // they end (ABORTED).
  void Submit(ModelChange change) EXCLUDES(mutex_);
  // What is configured now.
  std::map<std::string, ModelPlace> Places() const EXCLUDES(mutex_);

 private:
  enum class FileLook { kNone, kIfChanged, kAlways };

  template <typename Kind>
  void Enqueue(Kind request) EXCLUDES(mutex_);
  void RunThread() EXCLUDES(mutex_);
  // Waits for something to do, and takes what has come. None: stop.
  std::optional<FileLook> WaitForWork() EXCLUDES(mutex_);
  // Applies the changes whose turn it is, and answers those that have their effect.
  void ServeChanges() EXCLUDES(mutex_);
  void ReadFile(FileLook look);
  void Serve(tfs::ReloadRequest request);
  void Serve(ModelChange change);
  // Has `base` in force, as changed by `overrides`, and keeps both. `retried` and errors as
  // ModelSet::Apply; nothing is changed then.
  Status Apply(std::vector<tfs::ConfiguredModel> base, ModelOverrides overrides,
               std::string_view where, std::string_view retried = "") EXCLUDES(mutex_);
  // The same with a new list, of the file or of a client, whose labels are checked first.
  Status ApplyList(std::vector<tfs::ConfiguredModel> base, ModelOverrides overrides,
                   std::string_view where);
  // Adds a change to what is in force. As Apply.
  Status ApplyChange(const ModelChange& change);
  // A warning for each model that --ready_when names and that is not among `places`.
  std::vector<std::string> MissingReadyModels(
      const std::map<std::string, ModelPlace>& places) const;
  // Those of `models` that are not there yet, or of which a change, or a version, is pending.
  std::set<std::string> OnTheirWay(std::set<std::string> models) const;
  // OK also if there is no file.
  Status WriteState() const;
  // Of all models that are in force.
  AwaitedModels::Labels Labels() const;
  // The same, if their versions must be available.
  AwaitedModels::Labels LabelsToAwait() const;
  // FAILED_PRECONDITION if a label of a new list is for a version that does not exist. A label that
  // is in force stays, and a new one may be, with --allow_version_labels_for_unavailable_models.
  Status CheckLabels(const std::vector<tfs::ConfiguredModel>& models) const;
  // The labels are as they were before the list `list` was refused, unless another one has come.
  void RestoreLabels(const AwaitedModels::Labels& before, uint64_t list);
  // Logs it if the labels that are in force now do not get their versions: no client waits for
  // them.
  void WatchLabels(std::string_view where);
  // Answers `change` once it has its effect, or takes it back if its version cannot be had.
  void Await(ModelChange change, AwaitedModels awaited, std::optional<ModelOverrides> before);
  // All is as it was before a change whose version cannot be had.
  void TakeBack(const ModelChange& change, const ModelOverrides& before);
  // Has a model loaded that is loaded on demand; null if it is not of that kind.
  std::shared_ptr<DemandedLoad> LoadNow(const ModelChange& change);
  // A version that does not exist must not be pinned: all others would go for it. Nor labelled.
  Status CheckVersion(const ModelChange& change) const;
  bool IsStopping() const EXCLUDES(mutex_);

  const Settings& settings_;
  ModelSet& models_;
  core::Manager& manager_;

  // Changes that have not been answered. Shared with their answers.
  const std::shared_ptr<std::atomic<size_t>> under_way_ = std::make_shared<std::atomic<size_t>>(0);

  mutable Mutex mutex_;
  CondVar wake_;
  std::vector<ChangeRequest> incoming_ GUARDED_BY(mutex_);
  bool awaits_events_ GUARDED_BY(mutex_) = false;
  std::map<std::string, ModelPlace> places_ GUARDED_BY(mutex_);
  bool shall_read_file_ GUARDED_BY(mutex_) = false;
  bool has_event_ GUARDED_BY(mutex_) = false;  // the manager has told one
  bool is_stopping_ GUARDED_BY(mutex_) = false;

  // Set before the thread starts, then only on it, or after its end.
  std::vector<tfs::ConfiguredModel> base_;  // what the configuration, or a client, says
  uint64_t list_ = 0;                       // how often that was replaced
  ModelOverrides overrides_;
  ChangeQueue queue_;
  PendingChanges pending_{manager_};
  SteadyTime next_file_look_ = kNoDeadline;
  std::vector<std::string> warnings_;  // of what is in force
  std::string last_text_;              // of the file, when it was last in force
  std::string last_error_;             // what was last said of it
  int listener_ = 0;
  std::thread thread_;
};

}  // namespace penstock
