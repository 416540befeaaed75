// SPDX-License-Identifier: Apache-2.0
// How it works: each model has a time `due` of its next scan. The source's thread starts scans of
// models that are due, as far as ScanTurns has a turn for their buckets. A scan is slow, because it
// makes many requests over the network. So it runs on a thread of the pool and works on a copy of
// the model (Scan), which needs no lock. Its result comes back through `scans_done_`.
//
// SetModels may change a model while it is scanned. Then the result counts only if the same
// versions are still wanted. It is reported, but it does not answer the new configuration, which
// gets its own scan at once.
#include "sources/objectstore/object_store_source.h"

#include <algorithm>
#include <cstdlib>
#include <optional>
#include <utility>

#include "base/check.h"
#include "base/log.h"
#include "core/version_messages.h"

namespace penstock {
namespace {

// The stall time of listings. It is shorter than that of downloads: pages are small, and other
// models wait for the turn.
constexpr Duration kStallMax = std::chrono::seconds(10);

// True if both want the same versions.
bool AsksForSame(const core::SourceModel& a, const core::SourceModel& b) {
  return a.selection == b.selection && a.labelled == b.labelled;
}

std::string EnvironmentVariable(const char* name) {
  const char* const value = std::getenv(name);
  return value == nullptr ? "" : value;
}

}  // namespace

struct ObjectStoreSource::Scan {
  core::SourceModel model;
  core::VersionReporter::Ticket ticket;
  S3Location location;
  std::set<core::VersionNumber> reported;
  SeenVersions seen;  // moved from the model and back, so that only one thread uses it
  std::shared_ptr<ScanTurn> turn;
  StatusOr<ScannedVersions> found = absl::CancelledError();
};

ObjectStoreSource::ObjectStoreSource(ObjectStoreSourceOptions options,
                                     core::LoaderFactory make_loader)
    : ObjectStoreSource(std::move(options), S3SettingsOf(EnvironmentVariable),
                        std::move(make_loader)) {}

ObjectStoreSource::ObjectStoreSource(ObjectStoreSourceOptions options,
                                     StatusOr<S3Settings> settings, core::LoaderFactory make_loader)
    : options_(std::move(options)),
      settings_(std::move(settings)),
      make_loader_(std::move(make_loader)),
      turns_(options_.turns) {}

ObjectStoreSource::~ObjectStoreSource() { Stop(); }

Status ObjectStoreSource::Prepare() {
  TRY(settings_.status());
  MutexLock lock(mutex_);
  if (cache_ != nullptr) return OkStatus();
  if (options_.cache_folder.empty()) {
    return absl::InvalidArgumentError(
        "models in an object store need --model_cache_directory, a folder to download them to");
  }
  ASSIGN_OR_RETURN(cache_, VersionCache::Open(options_.cache_folder));
  store_ = std::make_shared<ObjectStore>(
      ObjectStore{*settings_, options_.client, make_loader_, options_.estimate});
  return OkStatus();
}

void ObjectStoreSource::Start(core::AspiredTarget& target) {
  reporter_.emplace(target, options_.keeps_last_versions);
  thread_ = std::thread([this] { RunThread(); });
}

void ObjectStoreSource::Stop() {
  {
    MutexLock lock(mutex_);
    is_stopping_ = true;
  }
  wake_.NotifyOne();
  if (thread_.joinable()) thread_.join();
}

bool ObjectStoreSource::Matches(std::string_view base_path) const { return IsS3Path(base_path); }

Status ObjectStoreSource::Check(const std::vector<core::SourceModel>& models) {
  TRY(core::CheckSourceModels(models));
  for (const core::SourceModel& model : models) {
    if (const auto location = ParseS3Path(model.base_path); !location.ok())
      return InvalidArgument("model '{}': {}", model.name, MessageOf(location.status()));
  }
  return models.empty() ? OkStatus() : Prepare();
}

Status ObjectStoreSource::SetModels(std::vector<core::SourceModel> models) {
  TRY(Check(models));
  MutexLock lock(mutex_);
  models_ = std::move(models);
  models_changed_ = true;
  wake_.NotifyOne();
  return OkStatus();
}

std::optional<bool> ObjectStoreSource::HasVersion(const std::string& model,
                                                  const std::string& base_path,
                                                  core::VersionNumber version) const {
  MutexLock lock(mutex_);
  const auto found = versions_.find(model);
  if (found == versions_.end() || found->second.base_path != base_path) return std::nullopt;
  return found->second.versions.contains(version);
}

StatusOr<std::map<core::VersionNumber, std::string>> ObjectStoreSource::ListVersions(
    const std::string& base_path) const {
  return Error(
      StatusCode::kUnimplemented,
      "'{}': a model in an object store can only be served, not inspected: download it, and "
      "give its folder",
      base_path);
}

void ObjectStoreSource::RunThread() {
  SetThreadName("objects");
  while (Wait()) {
    TakeModels();
    TakeScans();
    turns_.Check(Clock::Real().Now());
    while (Watched* const watched = NextToScan()) BeginScan(*watched);
  }
  // Scans refer to this object. Their threads end before it does: CancelAll makes them end soon,
  // and the pool's destructor waits.
  turns_.CancelAll();
  scanners_.reset();
}

bool ObjectStoreSource::Wait() {
  SteadyTime until = turns_.NextCheck();
  for (const auto& [name, watched] : watched_) {
    if (turns_.MayBegin(watched.location.bucket)) until = std::min(until, watched.due);
  }
  MutexLock lock(mutex_);
  while (!is_stopping_ && !models_changed_ && scans_done_.empty()) {
    if (until == kNoDeadline) {
      wake_.Wait(mutex_);
    } else if (!wake_.WaitUntil(mutex_, until)) {
      break;
    }
  }
  return !is_stopping_;
}

ObjectStoreSource::Watched* ObjectStoreSource::NextToScan() {
  Watched* next = nullptr;
  for (auto& [name, watched] : watched_) {
    if (!turns_.MayBegin(watched.location.bucket)) continue;
    if (watched.due > Clock::Real().Now()) continue;
    if (next == nullptr || watched.due < next->due) next = &watched;
  }
  return next;
}

void ObjectStoreSource::BeginScan(Watched& watched) {
  // Most servers have no model in an object store, and need no threads for it.
  if (scanners_ == nullptr) {
    scanners_ = std::make_unique<ThreadPool>(ThreadPoolOptions{
        .name = "object list", .threads = static_cast<int>(options_.turns.turns)});
  }
  watched.due = kNoDeadline;  // a new list may set it again
  auto scan = std::make_unique<Scan>();
  scan->model = watched.model;
  scan->ticket = reporter_->BeginScan(watched.model.name);
  scan->location = watched.location;
  scan->turn = turns_.Begin(watched.location.bucket, Clock::Real().Now());
  scan->seen = std::move(watched.seen);
  for (const auto& [version, found] : reporter_->versions(watched.model.name))
    scan->reported.insert(version);
  const bool is_taken = scanners_->Submit([this, taken = std::move(scan)]() mutable {
    RunScan(*taken);
    MutexLock lock(mutex_);
    scans_done_.push_back(std::move(taken));
    wake_.NotifyOne();
  });
  PENSTOCK_CHECK(is_taken, "there are more scans than threads");
}

void ObjectStoreSource::RunScan(Scan& scan) const {
  S3ClientOptions options = options_.client;
  options.http.stall_timeout = std::min(options.http.stall_timeout, kStallMax);
  // Each page counts as a sign of life, so that a bucket with many objects is not taken for one
  // that hangs.
  options.on_page = [&turn = *scan.turn] { turn.heard = Clock::Real().Now(); };
  S3Client client(*settings_, scan.location.bucket, options, scan.turn->is_cancelled);
  scan.found = ScanVersions({scan.location.prefix, scan.model.selection, scan.model.labelled,
                             std::move(scan.reported), options_.settle_time},
                            client, scan.seen);
}

void ObjectStoreSource::TakeScans() {
  std::vector<std::unique_ptr<Scan>> scans;
  {
    MutexLock lock(mutex_);
    scans.swap(scans_done_);
  }
  for (const std::unique_ptr<Scan>& scan : scans) {
    const ScanTurns::End end = turns_.Finish(scan->location.bucket, Clock::Real().Now());
    const auto watched = watched_.find(scan->model.name);
    if (watched == watched_.end()) continue;
    if (watched->second.model.base_path != scan->model.base_path) continue;
    // What was seen stays true even if the scan failed in the middle, so the next one need not
    // start from nothing.
    watched->second.seen = std::move(scan->seen);
    if (!scan->found.ok() && !end.why.ok()) scan->found = end.why;
    TakeScan(watched->second, *scan, end.is_due_again);
  }
}

void ObjectStoreSource::TakeScan(Watched& watched, Scan& scan, bool is_due_again) {
  // If other versions are wanted now, this result is about the wrong ones. TakeModels has made the
  // model due for a new scan.
  if (!AsksForSame(scan.model, watched.model)) return;
  const SteadyTime now = Clock::Real().Now();
  if (is_due_again) watched.due = std::min(watched.due, now);
  if (options_.poll_period > Duration::zero())
    watched.due = std::min(watched.due, now + options_.poll_period);
  if (is_stopping_) return;
  if (scan.found.ok()) return TakeFound(watched, scan.ticket, *scan.found);
  reporter_->Report(watched.model.name, scan.ticket,
                    {.can_list = false, .wanted = {}, .status = scan.found.status()},
                    /*make_loader=*/nullptr);
}

void ObjectStoreSource::TakeModels() {
  std::vector<core::SourceModel> models;
  {
    MutexLock lock(mutex_);
    if (!std::exchange(models_changed_, false)) return;
    models = models_;
    std::map<std::string_view, std::string_view> base_paths;
    for (const core::SourceModel& model : models) base_paths[model.name] = model.base_path;
    // Before the report: whoever learns of the new configuration must not find the versions of the
    // old base path.
    std::erase_if(versions_, [&](const auto& item) {
      const auto found = base_paths.find(item.first);
      return found == base_paths.end() || found->second != item.second.base_path;
    });
  }
  for (const std::string& name : reporter_->SetModels(models)) watched_.erase(name);
  const SteadyTime now = Clock::Real().Now();
  std::set<std::string> buckets;
  for (core::SourceModel& model : models) {
    const auto [found, is_new] = watched_.try_emplace(model.name);
    Watched& watched = found->second;
    // Models that want other versions than before come first. The others keep their `due`:
    // SetModels may come faster than scans end, and the model that has been due for longest must
    // have its turn.
    const bool asks_for_same = !is_new && AsksForSame(watched.model, model);
    watched.due = asks_for_same ? std::min(watched.due, now) : SteadyTime();
    watched.location = *ParseS3Path(model.base_path);
    watched.model = std::move(model);
    buckets.insert(watched.location.bucket);
  }
  turns_.KeepOnly(buckets);
  KeepFolders();
}

void ObjectStoreSource::TakeFound(Watched& watched, const core::VersionReporter::Ticket& ticket,
                                  const ScannedVersions& found) {
  NoteVersions(watched, found);
  core::ScanResult result{.wanted = {}, .incomplete = {}, .status = OkStatus()};
  for (const core::VersionNumber version : found.waiting) {
    const std::string& missing = watched.seen.at(version).missing;
    result.incomplete[version] = missing.empty() ? "an object has changed lately" : missing;
  }
  result.status = StatusOf(watched, found, result.incomplete);
  const auto want = [&](core::VersionNumber version, core::VersionRole role) {
    result.wanted[version] = {found.prefixes.at(version), watched.seen.at(version).revision, role};
  };
  for (const core::VersionNumber version : found.wanted) {
    want(version,
         found.for_labels.contains(version) ? core::VersionRole::kLabel : core::VersionRole::kMain);
  }
  for (const core::VersionNumber version : found.reserves)
    want(version, core::VersionRole::kReserve);
  reporter_->Report(
      watched.model.name, ticket, result,
      [&](core::VersionNumber version, const core::FoundVersion& each) {
        return MakeLoader(watched, version, each.path);
      },
      [this] { KeepFolders(); });  // before any loader downloads into them
}

Status ObjectStoreSource::StatusOf(Watched& watched, const ScannedVersions& found,
                                   const core::IncompleteVersions& incomplete) const {
  const std::string& base_path = watched.model.base_path;
  std::optional<core::VersionNumber> coming;  // the highest version that may still become complete
  for (const core::VersionNumber version : found.waiting) {
    if (watched.seen.at(version).missing.empty()) coming = version;
  }
  const bool is_left_out = !incomplete.empty() && !coming && !found.wanted.empty();
  LogChange(watched, watched.left_out, is_left_out ? core::LeftOut(base_path, incomplete) : "");
  // If no version is wanted, the status says what is absent.
  LogChange(watched, watched.absent,
            found.wanted.empty()
                ? ""
                : core::Absent(base_path, watched.model.selection, found.Numbers()));
  if (coming) {
    watched.due = std::min(watched.due, Clock::Real().Now() + options_.settle_time);
    return Error(StatusCode::kFailedPrecondition,
                 "version {} in {} is not complete yet and waits: an object has changed lately",
                 coming->value, base_path);
  }
  if (!incomplete.empty() && found.wanted.empty()) {
    const auto& [highest, missing] = *incomplete.rbegin();
    return Error(StatusCode::kNotFound,
                 "there are no versions in {}: version {} is not complete: {}", base_path,
                 highest.value, missing);
  }
  if (!found.wanted.empty()) return OkStatus();
  std::set<core::VersionNumber> there = found.Numbers();
  for (const core::VersionNumber version : found.without_model) there.erase(version);
  if (!there.empty()) return core::NoneSelected(base_path, watched.model.selection, there);
  return Error(StatusCode::kNotFound,
               "there are no versions in {}: a version is a folder named by a number", base_path);
}

void ObjectStoreSource::LogChange(const Watched& watched, std::string& last, std::string text) {
  if (text != last && !text.empty())
    PENSTOCK_LOG(kWarning, "model {}: {}", watched.model.name, text);
  last = std::move(text);
}

void ObjectStoreSource::NoteVersions(const Watched& watched, const ScannedVersions& found) {
  std::set<core::VersionNumber> versions = found.Numbers();
  for (const core::VersionNumber version : found.without_model) versions.erase(version);
  MutexLock lock(mutex_);
  versions_[watched.model.name] = {watched.model.base_path, std::move(versions)};
}

StatusOr<std::unique_ptr<core::Loader>> ObjectStoreSource::MakeLoader(const Watched& watched,
                                                                      core::VersionNumber version,
                                                                      const std::string& prefix) {
  std::shared_ptr<const ObjectStore> store;
  std::shared_ptr<VersionCache> cache;
  {
    MutexLock lock(mutex_);
    store = store_;
    cache = cache_;
  }
  const SeenVersion& seen = watched.seen.at(version);
  TRY(seen.problem);
  ObjectVersion object_version{{watched.model.name, version},
                               {watched.location.bucket, prefix},
                               seen.objects,
                               cache->FolderOf(watched.model.base_path, version, seen.revision)};
  TRY(CheckObjects(object_version));
  return std::make_unique<ObjectLoader>(std::move(object_version), std::move(store),
                                        std::move(cache));
}

void ObjectStoreSource::KeepFolders() {
  std::shared_ptr<VersionCache> cache;
  {
    MutexLock lock(mutex_);
    cache = cache_;
  }
  if (cache == nullptr) return;  // there never was a model
  std::set<std::string> folders;
  bool is_all_known = true;
  for (const auto& [name, watched] : watched_) {
    // After a restart, the folders of a model that is not listed yet look unused. To remove them
    // would mean to download them again.
    is_all_known &= reporter_->HasListed(name);
    for (const auto& [version, found] : reporter_->versions(name)) {
      // A reserve is not downloaded unless it is needed.
      if (found.role == core::VersionRole::kReserve) continue;
      folders.insert(cache->FolderOf(watched.model.base_path, version, found.revision));
    }
  }
  cache->Keep(std::move(folders), is_all_known);
}

}  // namespace penstock
