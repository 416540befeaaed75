// SPDX-License-Identifier: Apache-2.0
// How it works: each model has a time `due` of its next scan. A poll sets it at a fixed period. A
// change that inotify reports (FolderWatches) sets it to now. The thread loops: take over a new
// list of models, read the changes, scan the models that are due, and sleep until the next `due` or
// change. Two limits keep busy folders from using a whole CPU: changes are read every kReadPause at
// most, and the scans of one model take at most 1/kLookShare of the time (`busy_until`). ModelLook
// does the scan of one model.
#include "sources/directory/directory_source.h"

#include <algorithm>
#include <set>
#include <string_view>
#include <utility>

#include "base/executor.h"
#include "base/log.h"

namespace penstock {
namespace {

// Polls of watched folders are rare. They are only for changes that the kernel does not report: a
// folder above a base path was renamed.
constexpr int kWatchedPeriods = 10;
constexpr Duration kPeriodMax = std::chrono::hours(24 * 365);
// While files are copied, many changes come at once. Read them at most this often.
constexpr Duration kReadPause = std::chrono::milliseconds(10);
// The scans of one model take at most this fraction (one in 20) of the time, however often it
// changes.
constexpr int kLookShare = 20;
constexpr Duration kLookPauseMax = std::chrono::seconds(1);

Status CheckModel(const DirectoryModel& model) {
  if (model.name.empty()) {
    return InvalidArgument("the model with base path \"{}\" has no name", model.base_path);
  }
  if (model.base_path.empty()) {
    return InvalidArgument("the model \"{}\" has no base path", model.name);
  }
  return core::CheckSelection(model.name, model.selection);
}

}  // namespace

DirectorySource::DirectorySource(DirectorySourceOptions options, DirectoryLoaderFactory make_loader)
    : options_(options),
      make_loader_(std::move(make_loader)),
      watches_(options.poll_period > Duration::zero() && options.watches_max > 0,
               options.watches_max) {}

DirectorySource::~DirectorySource() { Stop(); }

void DirectorySource::Start(core::AspiredTarget& target) {
  target_ = &target;
  thread_ = std::thread([this] { RunThread(); });
}

void DirectorySource::Stop() {
  {
    MutexLock lock(mutex_);
    stopping_ = true;
  }
  wake_.Notify();
  if (thread_.joinable()) thread_.join();
}

Status DirectorySource::CheckModels(const std::vector<DirectoryModel>& models) {
  std::set<std::string_view> names;
  for (const DirectoryModel& model : models) {
    TRY(CheckModel(model));
    if (!names.insert(model.name).second) {
      return InvalidArgument("the model \"{}\" is configured twice", model.name);
    }
  }
  return OkStatus();
}

Status DirectorySource::SetModels(std::vector<DirectoryModel> models) {
  TRY(CheckModels(models));
  {
    MutexLock lock(mutex_);
    models_ = std::move(models);
    models_changed_ = true;
  }
  wake_.Notify();
  return OkStatus();
}

void DirectorySource::RunThread() {
  SetThreadName("source");
  while (TakeModels()) {
    ReadChanges();
    for (auto& [name, watched] : watched_) {
      if (watched.due <= Clock::Real().Now()) LookAt(watched);
    }
    Wait();
  }
}

bool DirectorySource::TakeModels() {
  std::map<std::string, DirectoryModel> models;
  {
    MutexLock lock(mutex_);
    if (stopping_) return false;
    if (!std::exchange(models_changed_, false)) return true;
    for (const DirectoryModel& model : models_) models.emplace(model.name, model);
  }
  std::erase_if(watched_, [&](const auto& item) {
    if (models.contains(item.first)) return false;
    watches_.Remove(item.first);
    target_->SetAspired(item.first, {}, item.second.generation);
    return true;
  });
  for (auto& [name, model] : models) SetModel(std::move(model));
  return true;
}

void DirectorySource::SetModel(DirectoryModel model) {
  const uint64_t generation = model.generation;
  auto found = watched_.find(model.name);
  if (found != watched_.end() && found->second.look.model().base_path == model.base_path) {
    found->second.look.SetSelection(std::move(model.selection), std::move(model.labelled));
  } else {
    Watched watched(model, options_.settling, watches_);
    if (found != watched_.end()) {
      watched.error = found->second.error;
      watched_.erase(found);
    }
    found = watched_.emplace(model.name, std::move(watched)).first;
  }
  Watched& watched = found->second;
  watched.generation = generation;
  // The target may have forgotten a model that was removed and added again.
  watched.was_told = false;
  watched.shall_tell_error = true;
  watched.due = options_.poll_period < Duration::zero() ? kNoDeadline : SteadyTime();
}

void DirectorySource::LookAt(Watched& watched) const {
  const SteadyTime start = Clock::Real().Now();
  Found found = watched.look.Look();
  watched.due = NextLook(found);
  const bool is_empty = found.can_list && found.wanted.empty();
  if (is_empty && options_.keeps_last_versions && !watched.told.empty()) found.can_list = false;
  // Keep the loaded versions while the only versions on disk are not complete.
  if (is_empty && !found.waiting.empty()) found.can_list = false;
  // The order of the reports matters: an error before the versions, OK after them. Otherwise a
  // request that waits for the model could take an old error for the answer.
  const bool is_ok = found.status.ok();
  if (!is_ok) TellStatus(watched, found.status);
  if (found.can_list && !(watched.was_told && found.wanted == watched.told)) Tell(watched, found);
  if (is_ok) TellStatus(watched, found.status);
  if (std::exchange(watched.left_out, found.left_out) != found.left_out && !found.left_out.empty())
    PENSTOCK_LOG(kWarning, "model {}: {}", watched.look.model().name, found.left_out);
  const SteadyTime end = Clock::Real().Now();
  watched.busy_until = end + std::min(kLookPauseMax, kLookShare * (end - start));
}

void DirectorySource::TellStatus(Watched& watched, const Status& status) const {
  const std::string error = std::string(MessageOf(status));
  const bool is_again = std::exchange(watched.shall_tell_error, false) && !error.empty();
  if (std::exchange(watched.error, error) == error && !is_again) return;
  target_->SetSourceStatus(watched.look.model().name, status, watched.generation);
}

SteadyTime DirectorySource::NextLook(const Found& found) const {
  if (options_.poll_period <= Duration::zero()) return found.look_again;
  // Polls are at whole multiples of the period, so that one wake-up serves all models.
  const Duration period =
      std::min(options_.poll_period, kPeriodMax) * (found.is_watched ? kWatchedPeriods : 1);
  const SteadyTime next((Clock::Real().Now().time_since_epoch() / period + 1) * period);
  return std::min(next, found.look_again);
}

void DirectorySource::Tell(Watched& watched, const Found& found) const {
  const std::string& name = watched.look.model().name;
  std::vector<core::AspiredVersion> versions;
  for (const auto& [version, folder] : found.wanted) {
    versions.push_back(
        {version, make_loader_({name, version}, folder.path), folder.revision, folder.role});
  }
  watched.was_told = true;
  watched.told = found.wanted;
  target_->SetAspired(name, std::move(versions), watched.generation);
}

void DirectorySource::ReadChanges() {
  const SteadyTime now = Clock::Real().Now();
  watches_.Read([&](const std::string& model) {
    const auto found = watched_.find(model);
    if (found == watched_.end()) return;
    Watched& watched = found->second;
    watched.due = std::min(watched.due, std::max(watched.busy_until, now));
    next_read_ = now + kReadPause;
  });
}

void DirectorySource::Wait() {
  SteadyTime until = kNoDeadline;
  for (const auto& [name, watched] : watched_) until = std::min(until, watched.due);
  const bool can_read = Clock::Real().Now() >= next_read_;
  if (watches_.fd() >= 0 && !can_read) until = std::min(until, next_read_);
  wake_.Wait(can_read ? watches_.fd() : -1, until);
}

}  // namespace penstock
