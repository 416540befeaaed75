// SPDX-License-Identifier: Apache-2.0
// Asks the targets of a remote model which versions they have, and holds those that are used here.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "base/mutex.h"
#include "config/remote_config.h"
#include "core/servable.h"
#include "net/client/channel.h"
#include "net/loop/timer_wheel.h"
#include "remote/configured_targets.h"
#include "remote/loops.h"
#include "remote/settings.h"
#include "remote/target_source.h"
#include "remote/version_view.h"

namespace penstock::remote {

// What is known of the versions. Plain data.
struct WatchView {
  bool is_known = false;  // each target was asked
  SeenVersions versions;
  // Targets have the model, but cannot say which versions, as servers without GetModelStatus. They
  // count as having version 1, and requests to them name no version.
  bool is_unversioned = false;
  std::string failures;  // of targets that did not answer
  bool operator==(const WatchView&) const = default;
};

// Polls all targets (GetModelStatus). Each version that is loaded here has a TargetSource with the
// targets that have it. As long as it lives, the polls ask the targets to keep the version
// (x-penstock-lease). A target counts for a version only if it said so in answer to such a poll: so
// it cannot unload the version before it is asked to keep it.
//
// It lives until its last user has gone: the owner that has made it, and each TargetSource. Owned
// by loop 0, but for the public functions, which any thread but those of the loops may call.
class VersionWatch final : public std::enable_shared_from_this<VersionWatch>,
                           private net::WheelTimer {
 public:
  // `changed` is called on loop 0 when view() has changed, until the owner has removed itself. It
  // must not block. `loops` must outlive RemoveUser of all users.
  VersionWatch(std::string name, RemoteVersion remote, const RemoteSettings& settings,
               RemoteLoops& loops, std::function<void()> changed);
  ~VersionWatch() override;

  // Begins to ask. Call it once.
  void Start();
  // Takes over other targets, and their other number. REQUIRES: HaveSameConnections.
  void SetTargets(const RemoteVersion& remote);
  // The owner does not need it any more. Blocks for a moment.
  void EndOwner();
  void AddUser() { users_.fetch_add(1); }
  // The last one ends the polls. Blocks for a moment.
  void RemoveUser();

  WatchView view() const EXCLUDES(mutex_);
  // The targets that have this version of the shard.
  std::shared_ptr<TargetSource> TargetsOf(size_t shard, core::VersionNumber version);

 private:
  class Followed;
  struct Polled;
  struct Shard;

  net::IoLoop& loop() { return loops_.at(0); }
  // Runs `task` on loop 0, and waits until it has run.
  void RunOnLoop(const std::function<void()>& task);
  void Watch(const RemoteVersion& remote);
  void OnTargets(size_t shard, const StatusOr<TargetList>& list);
  std::shared_ptr<Polled> MakePolled(const FoundTarget& found);
  void AskAll();
  void Ask(size_t shard, const std::shared_ptr<Polled>& target);
  void OnAnswer(size_t shard, Polled& target, const net::UnaryAnswer& answer);
  // Something is known anew: tells the owner and the versions what has changed for them.
  void Review();
  WatchView MakeView();
  void ReviewVersion(Followed& version);
  void OnTimer() override;

  const std::string name_;
  const RemoteVersion remote_;  // but for the targets
  const RemoteSettings settings_;
  RemoteLoops& loops_;
  std::atomic<int> users_{1};

  std::function<void()> changed_;
  int min_replicas_ = 1;
  std::vector<std::unique_ptr<Shard>> shards_;
  std::vector<Followed*> followed_;
  std::set<core::VersionNumber> published_;  // were complete, and still are there
  bool is_stopped_ = false;

  mutable Mutex mutex_;
  WatchView view_ GUARDED_BY(mutex_);
};

// The watches of all models that have the versions of their targets. Thread-safe.
class VersionWatches final {
 public:
  VersionWatches(const RemoteSettings& settings, RemoteLoopsOwner& loops)
      : settings_(settings), loops_owner_(loops) {}
  ~VersionWatches() { Set({}); }
  VersionWatches(const VersionWatches&) = delete;
  VersionWatches& operator=(const VersionWatches&) = delete;

  // Replaces the list. Watches of models that stay go on. Blocks for a moment.
  void Set(const std::map<std::string, RemoteVersion>& models) EXCLUDES(mutex_);
  // Null: there is none.
  std::shared_ptr<VersionWatch> Find(const std::string& model) const EXCLUDES(mutex_);
  // `changed` gets the model whose view has changed. It must not block, nor call this. Null: after
  // the return it is not called any more.
  void Listen(std::function<void(const std::string& model)> changed) EXCLUDES(listener_mutex_);

 private:
  struct Entry {
    RemoteVersion remote;
    std::shared_ptr<VersionWatch> watch;
  };

  const RemoteSettings settings_;
  RemoteLoopsOwner& loops_owner_;
  mutable Mutex mutex_;
  std::shared_ptr<RemoteLoops> loops_ GUARDED_BY(mutex_);  // null: there is no watch
  std::map<std::string, Entry> watches_ GUARDED_BY(mutex_);
  Mutex listener_mutex_;
  std::function<void(const std::string&)> listener_ GUARDED_BY(listener_mutex_);
};

}  // namespace penstock::remote
