// SPDX-License-Identifier: Apache-2.0
// Changes the list of models while the server runs: because a client asks for it, because
// --model_config_file has changed, or because of SIGHUP. One change at a time, in the order in
// which they come, on a thread of its own.
#pragma once

#include <chrono>
#include <deque>
#include <map>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "app/model_set.h"
#include "app/settings.h"
#include "base/clock.h"
#include "base/mutex.h"
#include "frontends/tfs_grpc/reload.h"

namespace penstock {

// Thread-safe. `settings`, `models` and `manager` outlive it.
class ModelReloader final {
 public:
  ModelReloader(const Settings& settings, ModelSet& models, core::Manager& manager);
  ~ModelReloader();  // stops it

  // Begins to take changes, and to look at the file if the settings want it. Once.
  void Start();
  // Clients that still wait get UNAVAILABLE. After the return the list does not change any more.
  void Stop() EXCLUDES(mutex_);

  // Reads the file again, also if it has not changed. What is wrong with it is logged, and the list
  // stays as it is.
  void ReloadFile() EXCLUDES(mutex_);
  // Applies the list of a client. With too many waiting: UNAVAILABLE.
  void Submit(tfs::ReloadRequest request) EXCLUDES(mutex_);

 private:
  void RunThread() EXCLUDES(mutex_);
  // Waits for something to do. False: stop.
  bool WaitForWork(bool& read_file, std::deque<tfs::ReloadRequest>& requests) EXCLUDES(mutex_);
  // `is_forced`: also if the text is the one that was read last.
  void ReadFile(bool is_forced);
  void Serve(tfs::ReloadRequest request);
  // Models that are waited for, and which of them are new or have moved, so that what was known of
  // them before `since` says nothing. One thread at a time.
  struct Awaited {
    std::vector<std::string> names;
    std::set<std::string> moved;
    std::map<std::string, std::map<std::string, core::VersionNumber>> labels;  // by model
    std::chrono::system_clock::time_point since;
  };
  enum class Progress { kUnderWay, kServed, kFailed };

  // Waits until each model has a version available, and each label its version, or cannot have one.
  Status WaitForModels(const Awaited& models, const tfs::ReloadRequest& request);
  // Why the models that are not served are not, and else why the labels are not; OK: all are.
  Status WhatIsMissing(const Awaited& models, bool is_late) const;
  // These set `reason` for kFailed.
  Progress ProgressOf(const Awaited& models, const std::string& name, Status& reason) const;
  Progress LabelProgress(const Awaited& models, const std::string& name, Status& reason) const;
  // A file that shall be read does not wait for the models of a client.
  bool TakeFileRequest() EXCLUDES(mutex_);
  bool IsStopping() EXCLUDES(mutex_);

  const Settings& settings_;
  ModelSet& models_;
  core::Manager& manager_;

  Mutex mutex_;
  CondVar wake_;
  std::deque<tfs::ReloadRequest> requests_ GUARDED_BY(mutex_);
  bool shall_read_file_ GUARDED_BY(mutex_) = false;
  bool is_stopping_ GUARDED_BY(mutex_) = false;

  // Set by Start, then only on the thread.
  std::string last_text_;   // of the file, when it was last in force
  std::string last_error_;  // what was last said of it
  std::thread thread_;
};

}  // namespace penstock
