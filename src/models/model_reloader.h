// SPDX-License-Identifier: Apache-2.0
// Changes the list of models while the server runs. The reason may be a client, an operator, a
// change of --model_config_file, or SIGHUP. It has one thread, which applies one change at a time.
// ChangeQueue says in which order. Earlier changes may still wait for their effect meanwhile.
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
#include "base/metrics/metrics.h"
#include "base/mutex.h"
#include "config/change_request.h"
#include "models/change_queue.h"
#include "models/model_overrides.h"
#include "models/model_roots.h"
#include "models/model_set.h"
#include "models/pending_changes.h"
#include "options/settings.h"

namespace penstock {

// Applies changes of the list of models, and answers each when it has its effect. See the top of
// model_reloader.cc for the steps. Thread-safe. `settings`, `models`, `manager` and `metrics` must
// outlive it.
class ModelReloader final {
 public:
  ModelReloader(const Settings& settings, ModelSet& models, core::Manager& manager,
                MetricsRegistry& metrics);
  ~ModelReloader();  // stops it

  // Applies the first list, with the changes that operators made before the server was restarted
  // (--state_file). Call it before Start. Errors: a bad state file, and those of ModelSet::Apply.
  Status ApplyFirst(std::vector<ConfiguredModel> base, std::string_view where);
  // Begins to apply changes, and to poll the file if the settings say so. Call it once.
  void Start();
  // Answers UNAVAILABLE to all waiting clients. After this returns, the list does not change any
  // more.
  void Stop() EXCLUDES(mutex_);

  // Reads the file again, even if it has not changed. If the file has a mistake, logs it and keeps
  // the current list.
  void ReloadFile() EXCLUDES(mutex_);
  // Applies the change, and answers when it has its effect. A change of one model is applied after
  // all earlier changes of the same model have been answered. A removal or unload of the model does
  // not wait for them: they are applied without delay, and answered ABORTED when the model goes.
  // Errors: UNAVAILABLE if too many changes are under way; ABORTED if another change removes, moves
  // or unloads a model that this one waits for.
  void Submit(ChangeRequest request) EXCLUDES(mutex_);
  // The models that are configured now.
  std::map<std::string, ModelEntry> Entries() const EXCLUDES(mutex_);

 private:
  // Whether the thread reads --model_config_file in this round, and applies it even if its text is
  // the same.
  enum class FileRead { kNone, kIfChanged, kAlways };

  void RunThread() EXCLUDES(mutex_);
  // Waits for work, and moves incoming changes to the queue. Returns whether to read the file, or
  // nullopt if the thread must end.
  std::optional<FileRead> WaitForWork() EXCLUDES(mutex_);
  // Applies the changes that need not wait, and answers those that have their effect.
  void ServeChanges() EXCLUDES(mutex_);
  void ReadFile(FileRead read);
  // Apply one change and await its effect, or answer the error. Only ServeChanges calls them.
  void ServeList(ChangeRequest request);
  void ServeChange(ChangeRequest request);
  // Puts `base`, as changed by `overrides`, in force, and keeps both. `retried` and errors are
  // those of ModelSet::Apply; after an error nothing is changed.
  Status Apply(std::vector<ConfiguredModel> base, ModelOverrides overrides, std::string_view where,
               std::string_view retried = "") EXCLUDES(mutex_);
  // As Apply, for a new list from the file or from a client. Checks the labels of the list first.
  Status ApplyList(std::vector<ConfiguredModel> base, ModelOverrides overrides,
                   std::string_view where);
  // Adds a change to the list in force, and applies the result. Errors as Apply.
  Status ApplyChange(const ModelChange& change);
  // Returns a warning for each model that --ready_when names and that is not in `entries`.
  std::vector<std::string> MissingReadyModels(
      const std::map<std::string, ModelEntry>& entries) const;
  // Returns those of `models` that somebody may wait for: models that are not ready, or that have a
  // pending change or version.
  std::set<std::string> OnTheirWay(std::set<std::string> models) const;
  // PERMISSION_DENIED if one of `models` has a base path outside of --model_roots, and was not in
  // `trusted` with the same base path.
  Status CheckRoots(const std::vector<ConfiguredModel>& models,
                    const std::map<std::string, std::string>& trusted) const;
  // Writes the changes of operators to --state_file. OK, without a write, if there is no such file
  // or this server takes no changes from operators.
  Status WriteState() const;
  // The labels of all models in force.
  AwaitedModels::Labels Labels() const;
  // The labels whose versions must become available: all, or none with
  // --allow_version_labels_for_unavailable_models.
  AwaitedModels::Labels LabelsToAwait() const;
  // FAILED_PRECONDITION if a label of a new list names a version that does not exist. Labels that
  // do not change are not checked. New ones are not checked either with
  // --allow_version_labels_for_unavailable_models.
  Status CheckLabels(const std::vector<ConfiguredModel>& models) const;
  // Makes the labels of `models` that move stay where they are until DecideLabels, so that none
  // moves if one of them cannot. Returns false, and changes nothing, if no label moves.
  static bool HoldLabels(std::vector<ConfiguredModel>& models, const AwaitedModels::Labels& before);
  // Lets the labels of list number `list` move; or, if the list has failed, restores them to
  // `before`. Does nothing if a newer list is in force.
  void DecideLabels(uint64_t list, const AwaitedModels::Labels* before);
  // Logs a warning if labels in force do not get their versions. It is for labels for which no
  // client waits.
  void WatchLabels(std::string_view where);
  // Answers the change of a model when it has its effect. If its version cannot be loaded, rolls it
  // back to `before`.
  void Await(ChangeRequest request, AwaitedModels awaited, std::optional<ModelOverrides> before);
  // Rolls back a pin or label whose version cannot be loaded.
  void RollBack(const ModelChange& change, const ModelOverrides& before);
  // Starts the load of a model on demand. Returns null if it is not such a model.
  std::shared_ptr<DemandedLoad> LoadNow(const ChangeRequest& request, const std::string& model);
  // Checks that the version of a pin or label exists. A pin to a missing version would unload all
  // others.
  Status CheckVersion(const ModelChange& change) const;
  bool IsStopping() const EXCLUDES(mutex_);

  const Settings& settings_;
  ModelSet& models_;
  core::Manager& manager_;

  // The number of changes that have not been answered. Their `done` functions share it.
  const std::shared_ptr<std::atomic<size_t>> under_way_ = std::make_shared<std::atomic<size_t>>(0);

  mutable Mutex mutex_;
  CondVar wake_;
  std::vector<ChangeRequest> incoming_ GUARDED_BY(mutex_);
  bool awaits_events_ GUARDED_BY(mutex_) = false;
  std::map<std::string, ModelEntry> entries_ GUARDED_BY(mutex_);
  bool shall_read_file_ GUARDED_BY(mutex_) = false;
  bool has_event_ GUARDED_BY(mutex_) = false;  // the manager has reported an event
  bool is_stopping_ GUARDED_BY(mutex_) = false;

  // Used only before the thread starts, on the thread, and after its end.
  ModelRoots roots_;
  std::vector<ConfiguredModel> base_;  // the list of the configuration, or of a client
  uint64_t list_ = 0;                  // how often a new list has replaced base_
  ModelOverrides overrides_;
  ChangeQueue queue_;
  PendingChanges pending_{manager_};
  SteadyTime next_file_poll_ = kNoDeadline;
  std::vector<std::string> warnings_;  // about the list in force
  // Changes of the list of models that took effect, and those that did not.
  struct Counts {
    Counts(MetricsRegistry& metrics, const char* source);
    void Add(const Status& status) const { (status.ok() ? ok : failed).Add(); }
    Counter& ok;
    Counter& failed;
  };
  const Counts file_reloads_;
  const Counts requests_;

  std::string last_text_;   // the text of the file that was last put in force
  std::string last_error_;  // the error of the last read of the file
  int listener_ = 0;
  std::thread thread_;
};

}  // namespace penstock
