// SPDX-License-Identifier: Apache-2.0
// How it works: each model has a time `due` of its next scan. A poll sets it at a fixed period. A
// change that inotify reports (FolderWatches) sets it to now. The thread loops: take over a new
// list of models, read the changes, scan the models that are due, and sleep until the next `due` or
// change. ModelScanner does the scan of one model.
//
// Two limits keep busy folders from using a whole CPU: changes are read every kReadPause at most,
// and the scans of one model take at most 1/kScanShare of the time (`busy_until`).
#include "sources/directory/directory_source.h"

#include <algorithm>
#include <string_view>
#include <utility>

#include "base/executor.h"
#include "base/log.h"
#include "sources/directory/folder_stamp.h"
#include "sources/directory/version_folders.h"

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
constexpr int kScanShare = 20;
constexpr Duration kScanPauseMax = std::chrono::seconds(1);

}  // namespace

DirectorySource::DirectorySource(DirectorySourceOptions options, core::LoaderFactory make_loader)
    : options_(options),
      make_loader_(std::move(make_loader)),
      watches_(options.poll_period > Duration::zero() && options.watches_max > 0,
               options.watches_max) {}

DirectorySource::~DirectorySource() { Stop(); }

void DirectorySource::Start(core::AspiredTarget& target) {
  reporter_.emplace(target, options_.keeps_last_versions);
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

bool DirectorySource::Matches(std::string_view base_path) const {
  const size_t scheme_end = base_path.find("://");
  return scheme_end == std::string_view::npos || base_path.find('/') < scheme_end;
}

Status DirectorySource::Check(const std::vector<core::SourceModel>& models) {
  return core::CheckSourceModels(models);
}

Status DirectorySource::SetModels(std::vector<core::SourceModel> models) {
  TRY(Check(models));
  {
    MutexLock lock(mutex_);
    if (options_.poll_period < Duration::zero() && !models.empty() &&
        !std::exchange(has_warned_, true)) {
      PENSTOCK_LOG(kWarning,
                   "--file_system_poll_wait_seconds is negative: no folder is ever scanned, so "
                   "model {} and all others in folders are not loaded; 0 scans each folder once",
                   models.front().name);
    }
    models_ = std::move(models);
    models_changed_ = true;
  }
  wake_.Notify();
  return OkStatus();
}

std::optional<bool> DirectorySource::HasVersion(const std::string&, const std::string& base_path,
                                                core::VersionNumber version) const {
  const auto folders = ListVersionFolders(base_path);
  // Unknown, and not "no": the folder may be out of reach only for a moment.
  if (!folders.ok()) return std::nullopt;
  return folders->contains(version);
}

StatusOr<std::map<core::VersionNumber, std::string>> DirectorySource::ListVersions(
    const std::string& base_path) const {
  return ListVersionFolders(base_path);
}

std::string DirectorySource::WhyIncomplete(const std::string& path) const {
  return StampFolder(path, [](const std::string&) {}).content.Missing();
}

void DirectorySource::RunThread() {
  SetThreadName("source");
  while (TakeModels()) {
    ReadChanges();
    for (auto& [name, watched] : watched_) {
      if (watched.due <= Clock::Real().Now()) Scan(watched);
    }
    Wait();
  }
}

bool DirectorySource::TakeModels() {
  std::vector<core::SourceModel> models;
  {
    MutexLock lock(mutex_);
    if (stopping_) return false;
    if (!std::exchange(models_changed_, false)) return true;
    models = models_;
  }
  for (const std::string& name : reporter_->SetModels(models)) {
    watched_.erase(name);
    watches_.Remove(name);
  }
  for (core::SourceModel& model : models) SetModel(std::move(model));
  return true;
}

void DirectorySource::SetModel(core::SourceModel model) {
  auto found = watched_.find(model.name);
  if (found == watched_.end()) {
    const std::string name = model.name;
    found = watched_.emplace(name, Watched(std::move(model), options_.settling, watches_)).first;
  } else {
    found->second.scanner.SetSelection(std::move(model.selection), std::move(model.labelled));
  }
  // The new list needs an answer even if nothing has changed on disk, so the model is scanned at
  // once. A negative period turns scans off, as in TensorFlow Serving.
  found->second.due = options_.poll_period < Duration::zero() ? kNoDeadline : SteadyTime();
  if (options_.poll_period >= Duration::zero()) return;
  const std::string& name = found->first;
  reporter_->Report(
      name, reporter_->BeginScan(name),
      {.can_list = false,
       .wanted = {},
       .status = absl::FailedPreconditionError(
           "no folder is scanned, because --file_system_poll_wait_seconds is negative")},
      /*make_loader=*/nullptr);
}

void DirectorySource::Scan(Watched& watched) {
  const SteadyTime start = Clock::Real().Now();
  const std::string& name = watched.scanner.model().name;
  const core::VersionReporter::Ticket ticket = reporter_->BeginScan(name);
  Found found = watched.scanner.Scan();
  watched.due = NextScan(found);
  reporter_->Report(name, ticket,
                    {.can_list = found.can_list,
                     .wanted = std::move(found.wanted),
                     .incomplete = std::move(found.incomplete),
                     .status = found.status},
                    [&](core::VersionNumber version, const core::FoundVersion& folder) {
                      return make_loader_({name, version}, folder.path);
                    });
  if (std::exchange(watched.left_out, found.left_out) != found.left_out && !found.left_out.empty())
    PENSTOCK_LOG(kWarning, "model {}: {}", name, found.left_out);
  if (std::exchange(watched.absent, found.absent) != found.absent && !found.absent.empty())
    PENSTOCK_LOG(kWarning, "model {}: {}", name, found.absent);
  const SteadyTime end = Clock::Real().Now();
  watched.busy_until = end + std::min(kScanPauseMax, kScanShare * (end - start));
}

SteadyTime DirectorySource::NextScan(const Found& found) const {
  if (options_.poll_period <= Duration::zero()) return found.scan_again;
  // Polls are at whole multiples of the period, so that one wake-up serves all models.
  const Duration period =
      std::min(options_.poll_period, kPeriodMax) * (found.is_watched ? kWatchedPeriods : 1);
  const SteadyTime next((Clock::Real().Now().time_since_epoch() / period + 1) * period);
  return std::min(next, found.scan_again);
}

void DirectorySource::ReadChanges() {
  const SteadyTime now = Clock::Real().Now();
  watches_.Read([&](const std::string& model) {
    const auto found = watched_.find(model);
    if (found == watched_.end()) return;
    Watched& watched = found->second;
    watched.due = std::min(watched.due, std::max(watched.busy_until, now));
    // Only a change starts the pause. So the first one after a quiet time is read at once.
    next_read_ = now + kReadPause;
  });
}

void DirectorySource::Wait() {
  SteadyTime until = kNoDeadline;
  for (const auto& [name, watched] : watched_) until = std::min(until, watched.due);
  const bool can_read = Clock::Real().Now() >= next_read_;
  // During the pause the descriptor stays readable. To wait for it would return at once, again and
  // again.
  if (watches_.fd() >= 0 && !can_read) until = std::min(until, next_read_);
  wake_.Wait(can_read ? watches_.fd() : -1, until);
}

}  // namespace penstock
