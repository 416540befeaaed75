// SPDX-License-Identifier: Apache-2.0
// Changes the list of models while the server runs: because a client or an operator asks for it,
// because --model_config_file has changed, or because of SIGHUP. One change at a time, in the order
// in which they come, on a thread of its own.
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <thread>
#include <variant>
#include <vector>

#include "app/model_overrides.h"
#include "app/model_set.h"
#include "app/model_wait.h"
#include "app/settings.h"
#include "base/clock.h"
#include "base/mutex.h"
#include "frontends/admin/model_change.h"
#include "frontends/tfs_grpc/reload.h"

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
  // Applies the list of a client. With too many waiting: UNAVAILABLE.
  void Submit(tfs::ReloadRequest request) EXCLUDES(mutex_);
  // The same with the change of an operator.
  void Submit(ModelChange change) EXCLUDES(mutex_);
  // What is configured now.
  std::map<std::string, ModelPlace> Places() const EXCLUDES(mutex_);

 private:
  using Request = std::variant<tfs::ReloadRequest, ModelChange>;
  using Requests = std::deque<Request>;

  // False: it was refused, and has been told so.
  template <typename Kind>
  void Enqueue(Kind request) EXCLUDES(mutex_);
  void RunThread() EXCLUDES(mutex_);
  // Waits for something to do. False: stop.
  bool WaitForWork(bool& read_file, Requests& requests) EXCLUDES(mutex_);
  // `is_forced`: also if the text is the one that was read last.
  void ReadFile(bool is_forced);
  void Serve(tfs::ReloadRequest request);
  void Serve(ModelChange change);
  // Has `base` in force, as changed by `overrides`, and keeps both. Returns the models that are new
  // or have moved. Errors as ModelSet::Apply; nothing is changed then.
  StatusOr<std::set<std::string>> Apply(std::vector<tfs::ConfiguredModel> base,
                                        ModelOverrides overrides, std::string_view where)
      EXCLUDES(mutex_);
  // OK also if there is no file.
  Status WriteState() const;
  // Waits until all is as the client wants it, or cannot be.
  Status WaitFor(const ModelWait& wait, SteadyTime deadline,
                 const std::function<bool()>& is_wanted);
  // True if the model is one that is loaded on demand and is not: it is loaded, and its end told.
  bool LoadNow(ModelChange& change);
  // A version that does not exist must not be pinned: all others would go for it. Nor labelled.
  Status CheckVersion(const ModelChange& change) const;
  // A file that shall be read does not wait for the models of a client.
  bool TakeFileRequest() EXCLUDES(mutex_);
  bool IsStopping() EXCLUDES(mutex_);

  const Settings& settings_;
  ModelSet& models_;
  core::Manager& manager_;

  mutable Mutex mutex_;
  CondVar wake_;
  Requests requests_ GUARDED_BY(mutex_);
  std::map<std::string, ModelPlace> places_ GUARDED_BY(mutex_);
  bool shall_read_file_ GUARDED_BY(mutex_) = false;
  bool is_stopping_ GUARDED_BY(mutex_) = false;

  // Set before the thread starts, then only on it.
  std::vector<tfs::ConfiguredModel> base_;  // what the configuration, or a client, says
  ModelOverrides overrides_;
  std::string last_text_;   // of the file, when it was last in force
  std::string last_error_;  // what was last said of it
  std::thread thread_;
};

}  // namespace penstock
