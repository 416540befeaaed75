// SPDX-License-Identifier: Apache-2.0
// A state machine for each version of one model:
//
//   kNew -> kLoading -> kReady -> kUnloading -> kDisabled
//
// A version whose load fails, or that breaks, goes to kError, and from there to kNew for a retry. A
// version that is aspired again goes from kDisabled to kNew. Each version has two states, because
// they differ: `phase` is for the policy, and `published` is for clients, with the states of
// TensorFlow Serving. For example, a version in kError is published as kStart while a retry is
// left.
//
// A loader moves from the version to the LoadJob that uses it. When the job ends, TakeBack returns
// it, unless the source has given a newer one. If a load hangs, its version goes to kError but
// keeps the job, and is not loaded again before the job has ended. There is no lock, thread or
// timer here: the Manager has them, so that each transition is a plain function of the recorded
// state.
#include "core/model_versions.h"

#include <algorithm>
#include <set>
#include <utility>

namespace penstock::core {

void ModelVersions::SetAspired(std::vector<AspiredVersion> versions) {
  std::set<VersionNumber> wanted;
  for (const AspiredVersion& version : versions) wanted.insert(version.version);
  for (auto& [number, version] : versions_) {
    if (wanted.contains(number)) continue;
    if (std::exchange(version.is_reserve, false) && version.phase == VersionPhase::kNew) {
      version.phase = VersionPhase::kDisabled;  // it was never published as new
    }
    Unaspire(number, version);
  }
  for (AspiredVersion& version : versions) {
    if (version.role == VersionRole::kReserve) {
      Reserve(std::move(version));
    } else {
      Aspire(std::move(version));
    }
  }
  // A former reserve that was never published leaves no trace.
  std::erase_if(versions_, [](const auto& item) {
    const Version& version = item.second;
    return !version.is_aspired && !version.is_reserve && version.published.id.name.empty();
  });
}

void ModelVersions::Reserve(AspiredVersion wanted) {
  const auto [found, is_new] = versions_.try_emplace(wanted.version);
  Version& version = found->second;
  const bool was_reserve = std::exchange(version.is_reserve, true);
  version.is_for_label = false;
  if (is_new) version.is_aspired = false;
  if (version.is_aspired) {
    Unaspire(wanted.version, version);
    if (version.phase == VersionPhase::kDisabled) version.phase = VersionPhase::kNew;
  } else if (version.phase == VersionPhase::kDisabled ||
             (version.phase == VersionPhase::kError && was_reserve &&
              wanted.revision != version.revision)) {
    version.phase = VersionPhase::kNew;
  }
  version.loader = std::move(wanted.loader);
  version.revision = wanted.revision;
  if (version.phase == VersionPhase::kNew) Rest(version);
}

void ModelVersions::Rest(Version& reserve) {
  const bool has_loader = reserve.loader.ok() && *reserve.loader != nullptr;
  reserve.phase = has_loader ? VersionPhase::kNew : VersionPhase::kError;
}

void ModelVersions::Aspire(AspiredVersion wanted) {
  const auto [found, is_new] = versions_.try_emplace(wanted.version);
  Version& version = found->second;
  StatusOr<std::unique_ptr<Loader>> loader = std::move(wanted.loader);
  version.revision = wanted.revision;
  const bool was_aspired = !is_new && std::exchange(version.is_aspired, true);
  version.is_for_label = wanted.role == VersionRole::kLabel;
  version.is_reserve = false;
  switch (version.phase) {
    case VersionPhase::kLoading:
    case VersionPhase::kReady:
      // The version stays as it is. The new loader is for the files as they are now. It is used if
      // the load fails, or if the loaded version breaks.
      version.loader = std::move(loader);
      return;
    case VersionPhase::kUnloading:
      version.loader = std::move(loader);  // used when the unload is over
      return;
    case VersionPhase::kError:
      // The source only repeats what it said, and the files have not changed. So the retries go on,
      // and the count of failures stays.
      if (was_aspired && version.loader.ok() && loader.ok() &&
          version.revision == version.loaded_revision) {
        version.loader = std::move(loader);  // it waits for its retry, or has used them all
        return;
      }
      break;
    case VersionPhase::kNew:
      if (!was_aspired) break;
      version.loader = std::move(loader);
      return CheckLoader(wanted.version, version);
    case VersionPhase::kDisabled:
      break;
  }
  version.loader = std::move(loader);
  Begin(wanted.version, version);
}

void ModelVersions::Unaspire(VersionNumber number, Version& version) {
  version.is_aspired = false;
  version.broken = OkStatus();
  if (version.phase == VersionPhase::kNew) {
    version.phase = VersionPhase::kDisabled;
    Publish(number, version, VersionState::kEnd, OkStatus());
  }
  if (version.phase == VersionPhase::kError) {
    version.ended_order = ++ended_count_;
    if (version.published.state != VersionState::kEnd && !version.published.id.name.empty())
      Publish(number, version, VersionState::kEnd, version.published.status);
  }
  // The load thread still uses the loader of the job, so the job stays until the load has ended.
  if (version.phase == VersionPhase::kLoading) Cancel(*version.job);
  version.loader = std::unique_ptr<Loader>();
}

void ModelVersions::Begin(VersionNumber number, Version& version) {
  version.failures = 0;
  version.needed_bytes = 0;
  version.phase = VersionPhase::kNew;
  Publish(number, version, VersionState::kStart, OkStatus());
  CheckLoader(number, version);
}

void ModelVersions::CheckLoader(VersionNumber number, Version& version) {
  const bool has_none = version.loader.ok() && *version.loader == nullptr;
  // It has a loader again when the renewal is over, and is loaded then.
  if (has_none && version.job != nullptr && version.job->is_renewal) return;
  if (has_none) version.loader = absl::InternalError("the source made no loader");
  if (version.loader.ok()) return;
  version.phase = VersionPhase::kError;
  Publish(number, version, VersionState::kEnd, version.loader.status());
}

std::optional<VersionAction> ModelVersions::NextAction(const TransitionPolicy& policy,
                                                       const std::set<VersionNumber>& held) const {
  std::vector<PolicyVersion> states;
  states.reserve(versions_.size());
  for (const auto& [number, version] : versions_) {
    const bool is_held = version.phase == VersionPhase::kReady && held.contains(number);
    // A load that hangs blocks a new one. The policy sees the version in error, as if it waited for
    // a retry.
    const bool is_blocked = version.phase == VersionPhase::kNew && version.job != nullptr;
    states.push_back({.version = number,
                      .phase = is_blocked ? VersionPhase::kError : version.phase,
                      .is_aspired = version.is_aspired || is_held,
                      .is_for_label = version.is_for_label || (is_held && !version.is_aspired),
                      .is_reserve = version.is_reserve && !is_held,
                      .has_failed = version.failures > 0 || version.phase == VersionPhase::kError});
  }
  const std::optional<VersionAction> action = policy.Next(states);
  if (!action) return std::nullopt;
  const auto found = versions_.find(action->version);
  const VersionPhase needed =
      action->kind == VersionAction::Kind::kLoad ? VersionPhase::kNew : VersionPhase::kReady;
  // Any code can be a policy, so check that the action is possible.
  if (found == versions_.end() || found->second.phase != needed) return std::nullopt;
  return action;
}

std::optional<VersionNumber> ModelVersions::LowestReady() const {
  for (const auto& [number, version] : versions_) {
    if (version.phase == VersionPhase::kReady) return number;
  }
  return std::nullopt;
}

std::shared_ptr<LoadJob> ModelVersions::StartLoad(VersionNumber number, uint64_t load) {
  Version& version = versions_.at(number);
  version.phase = VersionPhase::kLoading;
  version.needed_bytes = 0;
  version.loaded_revision = version.revision;
  version.load = load;
  version.job = std::make_shared<LoadJob>();
  version.job->id = {name_, number};
  version.job->number = load;
  version.job->loader = std::move(version.loader).value();
  // A reserve was not published before. START comes first for every version.
  if (version.is_reserve) Publish(number, version, VersionState::kStart, OkStatus());
  // The status stays: if the version is loaded again, it says why.
  Publish(number, version, VersionState::kLoading, version.published.status);
  return version.job;
}

void ModelVersions::Cancel(LoadJob& job) {
  if (std::exchange(job.is_cancelled, true)) return;
  job.loader->Cancel();
}

void ModelVersions::CancelLoads() {
  for (auto& [number, version] : versions_) {
    if (version.phase == VersionPhase::kLoading) Cancel(*version.job);
  }
}

void ModelVersions::NoteWaiting(const LoadJob& job, Status why) {
  Publish(job.id.version, versions_.at(job.id.version), VersionState::kLoading, std::move(why));
}

void ModelVersions::TakeBack(Version& version, LoadJob& job) {
  const bool has_newer = !version.loader.ok() || *version.loader != nullptr;
  if ((version.is_aspired || version.is_reserve) && !has_newer)
    version.loader = std::move(job.loader);
  version.job.reset();
}

void ModelVersions::FinishLoad(LoadJob& job, std::unique_ptr<VersionEntry> entry, SteadyTime now) {
  Version& version = versions_.at(job.id.version);
  version.phase = VersionPhase::kReady;
  version.entry = std::move(entry);
  version.ready_since = now;
  version.broken = OkStatus();
  version.can_answer = true;
  TakeBack(version, job);
  Publish(job.id.version, version, VersionState::kAvailable, OkStatus(), job.worked);
}

int ModelVersions::FailLoad(LoadJob& job, const Status& error, uint64_t needed_bytes) {
  Version& version = versions_.at(job.id.version);
  version.load = 0;
  TakeBack(version, job);
  if (!version.is_aspired) {
    // A reserve that cannot be loaded leaves its turn to the next one.
    version.phase = version.is_reserve ? VersionPhase::kError : VersionPhase::kDisabled;
    // A cancelled load says nothing about the files, so the reserve may be tried again.
    if (version.is_reserve && job.is_cancelled) Rest(version);
    Publish(job.id.version, version, VersionState::kEnd, error);
    return 0;
  }
  // The load was cancelled and the version is aspired again, or its files have changed.
  if (job.is_cancelled || version.revision != version.loaded_revision) {
    // Publish the error of the old files before the version begins anew.
    if (!job.is_cancelled) Publish(job.id.version, version, VersionState::kStart, error);
    Begin(job.id.version, version);
    return 0;
  }
  version.needed_bytes = needed_bytes;
  // A lack of memory is not the fault of the version. It must not use up its retries while it
  // waits.
  if (needed_bytes == 0) ++version.failures;
  Fail(job.id.version, version, error);
  return needed_bytes > 0 ? 0 : version.failures;
}

void ModelVersions::Fail(VersionNumber number, Version& version, const Status& error) {
  version.phase = VersionPhase::kError;
  const bool has_retry = retries_max_ < 0 || version.failures <= retries_max_;
  const bool is_retried = version.needed_bytes == 0 && has_retry;
  Publish(number, version, is_retried ? VersionState::kStart : VersionState::kEnd, error);
}

void ModelVersions::EndRetries() {
  retries_max_ = 0;
  for (auto& [number, version] : versions_) {
    if (version.phase == VersionPhase::kError && version.published.state != VersionState::kEnd)
      Publish(number, version, VersionState::kEnd, version.published.status);
  }
}

void ModelVersions::CancelLoad(LoadJob& job) {
  Version& version = versions_.at(job.id.version);
  version.phase = VersionPhase::kUnloading;
  version.end_status = absl::CancelledError("Loading of servable cancelled");
  TakeBack(version, job);
  Publish(job.id.version, version, VersionState::kUnloading, version.end_status);
}

void ModelVersions::TimeOutLoad(LoadJob& job, const Status& error) {
  Version& version = versions_.at(job.id.version);
  job.is_hung = true;
  // The loader may still notice, and end. Nobody waits for that.
  job.loader->Cancel();
  version.load = 0;
  ++version.failures;
  if (version.is_aspired) return Fail(job.id.version, version, error);
  version.phase = version.is_reserve ? VersionPhase::kError : VersionPhase::kDisabled;
  Publish(job.id.version, version, VersionState::kEnd, error);
}

int ModelVersions::EndHungLoad(LoadJob& job) {
  Version& version = versions_.at(job.id.version);
  TakeBack(version, job);
  return MayRetry(version) ? version.failures : 0;
}

bool ModelVersions::MayRetry(const Version& version) {
  return version.phase == VersionPhase::kError && version.is_aspired && version.loader.ok() &&
         *version.loader != nullptr;
}

void ModelVersions::Retry(VersionNumber number, int failures) {
  const auto found = versions_.find(number);
  if (found == versions_.end()) return;
  Version& version = found->second;
  // Otherwise the timer belongs to an earlier failure: the version has begun anew since.
  if (MayRetry(version) && version.failures == failures) version.phase = VersionPhase::kNew;
}

void ModelVersions::RetryAll() {
  for (auto& [number, version] : versions_) {
    if (MayRetry(version)) version.phase = VersionPhase::kNew;
  }
}

void ModelVersions::BeginFailed() {
  for (auto& [number, version] : versions_) {
    if (version.phase != VersionPhase::kError || !version.is_aspired || !version.loader.ok())
      continue;
    version.failures = 0;
    version.phase = VersionPhase::kNew;
    Publish(number, version, VersionState::kStart, OkStatus());
  }
}

uint64_t ModelVersions::RetryFitting(uint64_t free_bytes) {
  uint64_t taken = 0;
  for (auto& [number, version] : versions_) {
    // Each takes its share at once. Otherwise several would be retried for the same free memory,
    // and all but one fail again.
    if (version.needed_bytes == 0 || version.needed_bytes > free_bytes - taken ||
        !MayRetry(version)) {
      continue;
    }
    taken += std::exchange(version.needed_bytes, 0);
    version.phase = VersionPhase::kNew;
  }
  return taken;
}

uint64_t ModelVersions::LackedBytes() const {
  uint64_t least = 0;
  for (const auto& [number, version] : versions_) {
    const uint64_t bytes = version.needed_bytes;
    if (bytes > 0 && (least == 0 || bytes < least)) least = bytes;
  }
  return least;
}

ModelVersions::Unloading ModelVersions::StartUnload(VersionNumber number) {
  Version& version = versions_.at(number);
  version.phase = VersionPhase::kUnloading;
  version.end_status = OkStatus();
  Publish(number, version, VersionState::kUnloading, OkStatus());
  return {std::move(version.entry), version.load};
}

std::unique_ptr<VersionEntry> ModelVersions::StartRetire(VersionNumber number, uint64_t load,
                                                         const Status& reason, SteadyTime now,
                                                         Duration stable_time) {
  const auto found = versions_.find(number);
  if (found == versions_.end()) return nullptr;
  Version& version = found->second;
  // The version may have been unloaded, or loaded again, since it reported that it is broken.
  if (version.phase != VersionPhase::kReady || version.load != load) return nullptr;
  // A version that served for long and then breaks had a working load. It gets a new one at once,
  // without the pauses of a load that fails.
  version.failures = now - version.ready_since >= stable_time ? 0 : version.failures + 1;
  version.phase = VersionPhase::kUnloading;
  version.end_status = reason;
  if (version.is_aspired) version.broken = reason;
  Publish(number, version, VersionState::kUnloading, reason);
  return std::move(version.entry);
}

int ModelVersions::FinishUnload(VersionNumber number) {
  Version& version = versions_.at(number);
  const bool is_retired = !version.broken.ok();  // it broke, and is still aspired
  version.load = 0;
  if (!is_retired) {
    version.phase = VersionPhase::kDisabled;
    Publish(number, version, VersionState::kEnd, version.end_status);
    if (version.is_aspired) Begin(number, version);
    const bool is_well = version.end_status.ok() || absl::IsCancelled(version.end_status);
    if (version.is_reserve && is_well) Rest(version);
    if (version.is_reserve && !is_well) version.phase = VersionPhase::kError;  // it broke
    return 0;
  }
  Fail(number, version, version.end_status);
  if (version.failures == 0) Retry(number, 0);
  return version.failures;
}

std::shared_ptr<LoadJob> ModelVersions::StartRenewal(VersionNumber number, uint64_t load) {
  const auto found = versions_.find(number);
  if (found == versions_.end()) return nullptr;
  Version& version = found->second;
  if (version.phase != VersionPhase::kReady || version.job != nullptr || !version.loader.ok() ||
      *version.loader == nullptr)
    return nullptr;
  version.job = std::make_shared<LoadJob>();
  version.job->id = {name_, number};
  version.job->number = load;
  version.job->loader = std::move(version.loader).value();
  version.job->is_renewal = true;
  return version.job;
}

ModelVersions::Unloading ModelVersions::FinishRenewal(LoadJob& job,
                                                      std::unique_ptr<VersionEntry> entry,
                                                      SteadyTime now) {
  Version& version = versions_.at(job.id.version);
  TakeBack(version, job);
  if (entry == nullptr || version.phase != VersionPhase::kReady)
    return {std::move(entry), job.number};
  std::swap(version.entry, entry);
  version.ready_since = now;
  version.can_answer = true;
  Publish(job.id.version, version, VersionState::kAvailable, OkStatus(), job.worked);
  return {std::move(entry), std::exchange(version.load, job.number)};
}

bool ModelVersions::NoteProblem(VersionNumber number, const Status& problem, bool can_answer) {
  const auto found = versions_.find(number);
  if (found == versions_.end() || found->second.phase != VersionPhase::kReady) return false;
  Version& version = found->second;
  if (version.can_answer == can_answer && version.published.status == problem) return false;
  version.can_answer = can_answer;
  version.published.status = problem;  // it has entered no other state
  return true;
}

void ModelVersions::ForgetEnded(size_t ended_max) {
  const auto is_ended = [](const Version& version) {
    // A hung load still refers to its version, so that one stays.
    return !version.is_aspired && !version.is_reserve && version.job == nullptr &&
           (version.phase == VersionPhase::kDisabled || version.phase == VersionPhase::kError);
  };
  std::vector<uint64_t> orders;
  for (const auto& [number, version] : versions_) {
    if (is_ended(version)) orders.push_back(version.ended_order);
  }
  if (orders.size() <= ended_max) return;
  std::sort(orders.begin(), orders.end());
  const uint64_t last_forgotten = orders[orders.size() - ended_max - 1];
  std::erase_if(versions_, [&](const auto& item) {
    return is_ended(item.second) && item.second.ended_order <= last_forgotten;
  });
}

std::vector<VersionEntry*> ModelVersions::Ready() const {
  std::vector<VersionEntry*> ready;
  // Requests that name no version get the first entry. So a version that only a label wants must
  // not come first, however new it is; nor one that only is still there because somebody holds it.
  const auto rank = [](const Version& version) {
    return version.is_for_label ? 2 : version.is_aspired ? 0 : 1;
  };
  for (const int wanted : {0, 1, 2}) {
    for (auto item = versions_.rbegin(); item != versions_.rend(); ++item) {
      const Version& version = item->second;
      if (version.phase == VersionPhase::kReady && rank(version) == wanted)
        ready.push_back(version.entry.get());
    }
  }
  return ready;
}

std::set<VersionNumber> ModelVersions::ReadyMain() const {
  std::set<VersionNumber> ready;
  for (const auto& [number, version] : versions_) {
    if (version.phase == VersionPhase::kReady && !version.is_for_label) ready.insert(number);
  }
  return ready;
}

bool ModelVersions::HasAspiredMain() const {
  return std::ranges::any_of(versions_, [](const auto& item) {
    return item.second.is_aspired && !item.second.is_for_label;
  });
}

bool ModelVersions::HasAnswers() const {
  return std::ranges::any_of(versions_, [](const auto& item) {
    return item.second.phase == VersionPhase::kReady && item.second.can_answer;
  });
}

std::vector<uint64_t> ModelVersions::ReadyLoads() const {
  std::vector<uint64_t> loads;
  for (const auto& [number, version] : versions_) {
    if (version.phase == VersionPhase::kReady) loads.push_back(version.load);
  }
  return loads;
}

std::vector<std::pair<VersionNumber, Status>> ModelVersions::Broken() const {
  std::vector<std::pair<VersionNumber, Status>> broken;
  for (auto item = versions_.rbegin(); item != versions_.rend(); ++item) {
    if (!item->second.broken.ok()) broken.emplace_back(item->first, item->second.broken);
  }
  return broken;
}

std::vector<std::pair<VersionStatus, uint64_t>> ModelVersions::Statuses() const {
  std::vector<std::pair<VersionStatus, uint64_t>> statuses;
  for (auto item = versions_.rbegin(); item != versions_.rend(); ++item) {
    const Version& version = item->second;
    if (version.published.id.name.empty()) continue;
    VersionStatus status = version.published;
    // A reserve that is loaded or serves is what the model has, so clients see it as wanted.
    const bool is_used = version.is_reserve && (version.phase == VersionPhase::kLoading ||
                                                version.phase == VersionPhase::kReady);
    status.is_aspired = version.is_aspired || is_used;
    statuses.emplace_back(std::move(status), version.load);
  }
  return statuses;
}

bool ModelVersions::IsReady(VersionNumber number) const {
  const auto found = versions_.find(number);
  return found != versions_.end() && found->second.phase == VersionPhase::kReady;
}

bool ModelVersions::IsAspired(VersionNumber number) const {
  const auto found = versions_.find(number);
  return found != versions_.end() && found->second.is_aspired;
}

bool ModelVersions::IsWanted(const LoadJob& job) const {
  const Version& version = versions_.at(job.id.version);
  return version.is_aspired || (version.is_reserve && !job.is_cancelled);
}

bool ModelVersions::IsComing(const Version& version) {
  if (version.is_reserve) return version.phase == VersionPhase::kLoading;
  return version.is_aspired &&
         (version.phase == VersionPhase::kNew || version.phase == VersionPhase::kLoading ||
          version.phase == VersionPhase::kUnloading);
}

bool ModelVersions::IsAnyComing() const {
  return std::any_of(versions_.begin(), versions_.end(),
                     [](const auto& item) { return IsComing(item.second); });
}

bool ModelVersions::IsComing(VersionNumber number) const {
  const auto found = versions_.find(number);
  return found != versions_.end() && IsComing(found->second);
}

bool ModelVersions::IsAnyLoading() const {
  return std::any_of(versions_.begin(), versions_.end(),
                     [](const auto& item) { return item.second.phase == VersionPhase::kLoading; });
}

Status ModelVersions::NewestError() const {
  for (auto item = versions_.rbegin(); item != versions_.rend(); ++item) {
    if (const Status error = ErrorOf(item->first); !error.ok()) return error;
  }
  return OkStatus();
}

bool ModelVersions::HasFailed(VersionNumber number) const {
  const auto found = versions_.find(number);
  return found != versions_.end() && found->second.is_aspired &&
         found->second.phase == VersionPhase::kError;
}

Status ModelVersions::ErrorOf(VersionNumber number) const {
  return HasFailed(number) ? versions_.at(number).published.status : OkStatus();
}

std::vector<const LoadJob*> ModelVersions::RunningLoads() const {
  std::vector<const LoadJob*> loads;
  for (const auto& [number, version] : versions_) {
    if (version.job != nullptr && version.job->step_start != kNoDeadline)
      loads.push_back(version.job.get());
  }
  return loads;
}

Status ModelVersions::NewestProblem(std::optional<VersionNumber> number) const {
  for (auto item = versions_.rbegin(); item != versions_.rend(); ++item) {
    if (!item->second.is_aspired || (number && item->first != *number)) continue;
    if (const Status& problem = item->second.published.status; !problem.ok()) return problem;
  }
  return OkStatus();
}

bool ModelVersions::IsBusy() const {
  return std::any_of(versions_.begin(), versions_.end(), [](const auto& item) {
    return item.second.job != nullptr || item.second.phase == VersionPhase::kUnloading;
  });
}

void ModelVersions::Publish(VersionNumber number, Version& version, VersionState state,
                            Status status, Duration load_time) {
  if (state == VersionState::kEnd) version.ended_order = ++ended_count_;
  version.published = {
      .id = {name_, number},
      .state = state,
      .status = std::move(status),
      .since = std::chrono::system_clock::now(),
      .load_time = load_time,
  };
  events_.push_back({name_, version.published});
}

}  // namespace penstock::core
