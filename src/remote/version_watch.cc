// SPDX-License-Identifier: Apache-2.0
#include "remote/version_watch.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <future>
#include <utility>

#include "remote/channel_options.h"
#include "remote/messages.h"
#include "remote/token_file.h"

namespace penstock::remote {
namespace {

// A target may take so long to answer, at least.
constexpr Duration kAnswerTimeMin = std::chrono::seconds(1);
constexpr uint64_t kStatusBytesMax = 1 << 20;
constexpr size_t kFailuresBytesMax = 1000;
constexpr core::VersionNumber kOnlyVersion{1};

// The metadata with which targets are asked to keep versions. The frontends of targets read it.
constexpr char kLeaseField[] = "x-penstock-lease";

}  // namespace

// A target, and what it has said last. Owned by loop 0.
struct VersionWatch::Polled {
  FoundTarget found;
  std::shared_ptr<net::UnaryChannel> channel;
  TargetView view;
  bool is_asked = false;    // its answer has not come yet
  bool asks_again = false;  // after that
  bool was_asked = false;   // it has answered, or failed to
  bool is_unversioned = false;
  bool is_gone = false;
  std::string failure;
  std::set<core::VersionNumber> asked;      // the leases of the last question
  std::set<core::VersionNumber> confirmed;  // those of them that it has

  // It is no target any more. Its open question ends.
  void End() {
    is_gone = true;
    channel = nullptr;
  }
};

// Owned by loop 0.
struct VersionWatch::Shard {
  std::string model;
  std::shared_ptr<ConfiguredTargets> source;
  bool has_list = false;
  std::string failure;  // of the search for targets
  std::vector<std::shared_ptr<Polled>> targets;

  // No question is open.
  bool IsSettled() const {
    return has_list && std::ranges::none_of(targets, [](const auto& each) {
             return each->is_asked || each->asks_again || !each->was_asked;
           });
  }
};

// The targets with one version. Owned by loop 0, but for the functions of TargetSource.
class VersionWatch::Followed final : public TargetSource {
 public:
  Followed(std::shared_ptr<VersionWatch> watch, size_t shard, core::VersionNumber version)
      : watch_(std::move(watch)), shard_(shard), version_(version) {
    watch_->AddUser();
  }

  void Start(Changed changed) override {
    watch_->loop().Post([this, changed = std::move(changed)]() mutable {
      changed_ = std::move(changed);
      watch_->followed_.push_back(this);
      // What they have said before was not in answer to a lease.
      watch_->AskAll();
    });
  }
  void Refresh() override {
    watch_->loop().Post([watch = watch_] {
      if (watch->is_stopped_) return;
      for (const auto& shard : watch->shards_) shard->source->Refresh();
      watch->AskAll();
    });
  }
  void Stop() override {
    watch_->RunOnLoop([this] {
      changed_ = nullptr;
      std::erase(watch_->followed_, this);
    });
    watch_->RemoveUser();
  }

 private:
  friend class VersionWatch;

  const std::shared_ptr<VersionWatch> watch_;
  const size_t shard_;
  const core::VersionNumber version_;
  Changed changed_;
  bool has_reported_ = false;
  TargetList reported_;
};

VersionWatch::VersionWatch(std::string name, RemoteVersion remote, const RemoteSettings& settings,
                           RemoteLoops& loops, std::function<void()> changed)
    : name_(std::move(name)),
      remote_(std::move(remote)),
      settings_(settings),
      loops_(loops),
      changed_(std::move(changed)) {}

VersionWatch::~VersionWatch() = default;

void VersionWatch::RunOnLoop(const std::function<void()>& task) {
  std::promise<void> done;
  loop().Post([&] {
    task();
    done.set_value();
  });
  done.get_future().wait();
}

void VersionWatch::Start() {
  loop().Post([self = shared_from_this()] {
    self->Watch(self->remote_);
    self->OnTimer();
  });
}

void VersionWatch::SetTargets(const RemoteVersion& remote) {
  loop().Post([self = shared_from_this(), remote] {
    if (!self->is_stopped_) self->Watch(remote);
  });
}

void VersionWatch::EndOwner() {
  RunOnLoop([this] { changed_ = nullptr; });
  RemoveUser();
}

void VersionWatch::RemoveUser() {
  if (users_.fetch_sub(1) > 1) return;
  RunOnLoop([this] {
    is_stopped_ = true;
    Disarm();
    for (const auto& shard : shards_) {
      shard->source->StopOnLoop();
      for (const auto& target : shard->targets) target->End();
    }
    shards_.clear();
  });
}

WatchView VersionWatch::view() const {
  MutexLock lock(mutex_);
  return view_;
}

std::shared_ptr<TargetSource> VersionWatch::TargetsOf(size_t shard, core::VersionNumber version) {
  return std::make_shared<Followed>(shared_from_this(), shard, version);
}

// --- the targets

void VersionWatch::Watch(const RemoteVersion& remote) {
  min_replicas_ = remote.min_replicas;
  std::vector<RemoteShard> wanted = remote.shards;
  if (wanted.empty()) wanted.push_back({remote.model, remote.targets});
  shards_.resize(wanted.size());
  for (size_t i = 0; i < wanted.size(); ++i) {
    if (shards_[i] == nullptr) shards_[i] = std::make_unique<Shard>();
    Shard& shard = *shards_[i];
    shard.model = wanted[i].model;
    if (shard.source != nullptr) shard.source->StopOnLoop();
    shard.source = std::make_shared<ConfiguredTargets>(name_, wanted[i].targets,
                                                       settings_.dns_interval, loops_);
    shard.source->Start([this, i](const StatusOr<TargetList>& list) { OnTargets(i, list); });
  }
}

void VersionWatch::OnTargets(size_t index, const StatusOr<TargetList>& list) {
  Shard& shard = *shards_[index];
  shard.has_list = true;
  shard.failure = list.ok() ? std::string() : std::string(MessageOf(list.status()));
  if (!list.ok()) {
    // Each version counts it.
    for (Followed* each : followed_) {
      if (each->shard_ == index && each->has_reported_) each->changed_(list.status());
    }
  } else {
    std::vector<std::shared_ptr<Polled>> targets;
    for (const FoundTarget& found : *list) {
      const auto known = std::ranges::find_if(
          shard.targets, [&](const auto& each) { return each->found.IsSame(found); });
      if (known != shard.targets.end()) {
        targets.push_back(*known);
        continue;
      }
      targets.push_back(MakePolled(found));
    }
    for (const auto& each : shard.targets) {
      if (std::ranges::find(targets, each) == targets.end()) each->End();
    }
    shard.targets = std::move(targets);
    for (const auto& each : shard.targets) {
      if (!each->was_asked) Ask(index, each);
    }
  }
  Review();
}

std::shared_ptr<VersionWatch::Polled> VersionWatch::MakePolled(const FoundTarget& found) {
  auto polled = std::make_shared<Polled>();
  polled->found = found;
  net::ChannelOptions options = ChannelOf(found, remote_, settings_);
  polled->view.name = options.Address();
  polled->channel = loops_.Connect(0, std::move(options));
  return polled;
}

// --- the questions

void VersionWatch::AskAll() {
  for (size_t i = 0; i < shards_.size(); ++i) {
    for (const std::shared_ptr<Polled>& target : shards_[i]->targets) Ask(i, target);
  }
}

void VersionWatch::OnTimer() {
  AskAll();
  loop().timers().Arm(*this, loop().clock().Now() + settings_.version_interval);
}

void VersionWatch::Ask(size_t shard, const std::shared_ptr<Polled>& target) {
  if (target->is_asked) {
    target->asks_again = true;
    return;
  }
  target->is_asked = true;
  target->asks_again = false;
  target->asked.clear();
  std::vector<int64_t> leases;
  for (const Followed* each : followed_) {
    if (target->asked.insert(each->version_).second) leases.push_back(each->version_.value);
  }
  RemoteVersion question;
  question.model = shards_[shard]->model;
  net::UnaryRequest request{
      .path = kStatusMethod,
      .message = WriteStatusRequest(question),
      .metadata = {{kLeaseField,
                    leases.empty() ? "none" : fmt::format("{}", fmt::join(leases, ","))}},
      .deadline = loop().clock().Now() + std::max(settings_.version_interval, kAnswerTimeMin),
      .answer_bytes_max = kStatusBytesMax};
  // A small file, read once in a while: the token may have been changed.
  StatusOr<std::string> token = ReadToken(remote_.token_file);
  if (token.ok() && !token->empty())
    request.metadata.emplace_back("authorization", "Bearer " + *token);
  target->channel->Start(std::move(request),
                         [self = shared_from_this(), shard, target](net::UnaryAnswer&& answer) {
                           target->is_asked = false;
                           if (self->is_stopped_ || target->is_gone) return;
                           self->OnAnswer(shard, *target, answer);
                           if (target->asks_again) self->Ask(shard, target);
                         });
}

void VersionWatch::OnAnswer(size_t shard, Polled& target, const net::UnaryAnswer& answer) {
  const bool is_from_target = answer.status.ok() || answer.is_from_server;
  const StatusCode code = answer.status.code();
  StatusOr<VersionsAtTarget> versions = answer.status.ok()
                                            ? ReadStatusResponse(answer.message)
                                            : StatusOr<VersionsAtTarget>(answer.status);
  target.is_unversioned = is_from_target && code == StatusCode::kUnimplemented;
  if (target.is_unversioned) versions = VersionsAtTarget{{kOnlyVersion, {.is_available = true}}};
  // It does not have the model.
  if (is_from_target && code == StatusCode::kNotFound) versions = VersionsAtTarget{};
  target.was_asked = true;
  target.view.is_failing = !versions.ok();
  target.failure = MessageOf(answer.status.ok() ? versions.status() : answer.status);
  if (target.is_unversioned) target.failure.clear();
  if (versions.ok()) {
    target.view.has_answered = true;
    target.view.versions = *std::move(versions);
    target.confirmed.clear();
    for (const auto& [version, at_target] : target.view.versions) {
      if (at_target.is_available && target.asked.contains(version))
        target.confirmed.insert(version);
    }
  } else if (!is_from_target) {
    shards_[shard]->source->Refresh();
  }
  Review();
}

// --- what is known

void VersionWatch::Review() {
  WatchView view = MakeView();
  for (const auto& [version, state] : view.versions) {
    if (state.is_complete) published_.insert(version);
    if (!state.is_complete && !state.is_left) published_.erase(version);
  }
  std::erase_if(published_,
                [&](core::VersionNumber each) { return !view.versions.contains(each); });
  bool is_new = false;
  {
    MutexLock lock(mutex_);
    is_new = view != view_;
    if (is_new) view_ = std::move(view);
  }
  if (is_new && changed_) changed_();
  for (Followed* each : followed_) ReviewVersion(*each);
}

WatchView VersionWatch::MakeView() {
  WatchView view;
  view.is_known = true;
  bool names_versions = false;
  std::vector<ShardView> shards;
  const auto add = [&view](std::string_view target, std::string_view failure) {
    if (failure.empty() || view.failures.size() > kFailuresBytesMax) return;
    if (!view.failures.empty()) view.failures += "; ";
    view.failures += fmt::format("{}{}", target, failure);
  };
  for (const auto& shard : shards_) {
    ShardView& views = shards.emplace_back();
    view.is_known &= shard->has_list;
    add("", shard->failure);
    for (const auto& target : shard->targets) {
      views.push_back(target->view);
      view.is_known &= target->was_asked;
      view.is_unversioned |= target->is_unversioned;
      names_versions |= !target->is_unversioned && !target->view.versions.empty();
      add(target->view.name + ": ", target->failure);
    }
  }
  view.versions = JoinViews(shards, min_replicas_, published_);
  view.is_unversioned &= !names_versions;
  // One that can be served need not wait for targets that do not answer.
  view.is_known |=
      std::ranges::any_of(view.versions, [](const auto& each) { return each.second.is_complete; });
  return view;
}

void VersionWatch::ReviewVersion(Followed& followed) {
  const Shard& shard = *shards_[followed.shard_];
  TargetList list;
  for (const std::shared_ptr<Polled>& target : shard.targets) {
    if (!target->confirmed.contains(followed.version_)) continue;
    list.push_back(target->found);
    list.back().is_healthy = !target->view.is_failing;
  }
  if (!followed.has_reported_) {
    if (list.empty() && !shard.IsSettled()) return;
    if (list.empty()) {
      followed.changed_(
          Error(StatusCode::kUnavailable, "no target has version {} now", followed.version_.value));
      return;
    }
    followed.has_reported_ = true;
  } else if (list == followed.reported_) {
    return;
  }
  followed.reported_ = std::move(list);
  followed.changed_(followed.reported_);
}

// --- all models

void VersionWatches::Set(const std::map<std::string, RemoteVersion>& models) {
  std::vector<std::shared_ptr<VersionWatch>> ended;
  std::shared_ptr<RemoteLoops> loops;  // ends after them
  {
    MutexLock lock(mutex_);
    loops = loops_;
    if (loops == nullptr && !models.empty()) loops = loops_ = loops_owner_.Get();
    for (auto each = watches_.begin(); each != watches_.end();) {
      const auto now = models.find(each->first);
      if (now != models.end() && HaveSameConnections(now->second, each->second.remote)) {
        if (now->second != each->second.remote) each->second.watch->SetTargets(now->second);
        each->second.remote = now->second;
        ++each;
        continue;
      }
      ended.push_back(std::move(each->second.watch));
      each = watches_.erase(each);
    }
    for (const auto& [model, remote] : models) {
      if (watches_.contains(model)) continue;
      const auto watch =
          std::make_shared<VersionWatch>(model, remote, settings_, *loops, [this, name = model] {
            MutexLock listening(listener_mutex_);
            if (listener_) listener_(name);
          });
      watch->Start();
      watches_.emplace(model, Entry{remote, watch});
    }
    if (watches_.empty()) loops_ = nullptr;
  }
  for (const auto& watch : ended) watch->EndOwner();
}

std::shared_ptr<VersionWatch> VersionWatches::Find(const std::string& model) const {
  MutexLock lock(mutex_);
  const auto found = watches_.find(model);
  return found == watches_.end() ? nullptr : found->second.watch;
}

void VersionWatches::Listen(std::function<void(const std::string&)> changed) {
  MutexLock lock(listener_mutex_);
  listener_ = std::move(changed);
}

}  // namespace penstock::remote
