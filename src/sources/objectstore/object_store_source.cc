// SPDX-License-Identifier: Apache-2.0
// How it works: each model has a time `due` of its next scan. The source's thread starts scans of
// models that are due, as far as LookTurns has a turn for their buckets. A scan runs on a thread of
// the pool and works on a copy of the model (Look), so that it needs no lock; its result comes back
// through `looks_done_`. SetModels may change a model while it is scanned. Then the result counts
// only if the same versions are still wanted. It is reported, but it does not answer the new
// configuration, which gets its own scan at once.
#include "sources/objectstore/object_store_source.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "base/check.h"
#include "base/log.h"

namespace penstock {
namespace {

// The stall time of listings. It is shorter than that of downloads: pages are small, and other
// models wait for the turn.
constexpr Duration kStallMax = std::chrono::seconds(10);

// True if both want the same versions.
bool AsksForSame(const ObjectStoreModel& a, const ObjectStoreModel& b) {
  return a.selection == b.selection && a.labelled == b.labelled;
}

}  // namespace

struct ObjectStoreSource::Look {
  ObjectStoreModel model;
  S3Location location;
  std::set<core::VersionNumber> told;
  SeenVersions seen;  // moved from the model and back, so that only one thread uses it
  std::shared_ptr<LookTurn> turn;
  StatusOr<FoundVersions> found = absl::CancelledError();
};

ObjectStoreSource::ObjectStoreSource(ObjectStoreSourceOptions options,
                                     StatusOr<S3Settings> settings, FolderLoaderFactory make_loader)
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
  target_ = &target;
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

Status ObjectStoreSource::CheckModels(const std::vector<ObjectStoreModel>& models) {
  std::set<std::string_view> names;
  for (const ObjectStoreModel& model : models) {
    TRY(ParseS3Path(model.base_path).status());
    TRY(core::CheckSelection(model.name, model.selection));
    if (!names.insert(model.name).second) {
      return InvalidArgument("the model \"{}\" is configured twice", model.name);
    }
  }
  return OkStatus();
}

Status ObjectStoreSource::SetModels(std::vector<ObjectStoreModel> models) {
  TRY(CheckModels(models));
  if (!models.empty()) TRY(Prepare());
  MutexLock lock(mutex_);
  models_ = std::move(models);
  models_changed_ = true;
  wake_.NotifyOne();
  return OkStatus();
}

bool ObjectStoreSource::HasVersion(const std::string& model, core::VersionNumber version) const {
  MutexLock lock(mutex_);
  const auto found = versions_.find(model);
  return found != versions_.end() && found->second.contains(version);
}

void ObjectStoreSource::RunThread() {
  SetThreadName("objects");
  while (Wait()) {
    TakeModels();
    TakeLooks();
    turns_.Check(Clock::Real().Now());
    while (Watched* const watched = NextToLookAt()) BeginLook(*watched);
  }
  turns_.CancelAll();
  lookers_.reset();
}

bool ObjectStoreSource::Wait() {
  SteadyTime until = turns_.NextCheck();
  for (const auto& [name, watched] : watched_) {
    if (turns_.MayBegin(watched.location.bucket)) until = std::min(until, watched.due);
  }
  MutexLock lock(mutex_);
  while (!is_stopping_ && !models_changed_ && looks_done_.empty()) {
    if (until == kNoDeadline) {
      wake_.Wait(mutex_);
    } else if (!wake_.WaitUntil(mutex_, until)) {
      break;
    }
  }
  return !is_stopping_;
}

ObjectStoreSource::Watched* ObjectStoreSource::NextToLookAt() {
  Watched* next = nullptr;
  for (auto& [name, watched] : watched_) {
    if (!turns_.MayBegin(watched.location.bucket)) continue;
    if (watched.due > Clock::Real().Now()) continue;
    if (next == nullptr || watched.due < next->due) next = &watched;
  }
  return next;
}

void ObjectStoreSource::BeginLook(Watched& watched) {
  if (lookers_ == nullptr) {
    lookers_ = std::make_unique<ThreadPool>(ThreadPoolOptions{
        .name = "object list", .threads = static_cast<int>(options_.turns.turns)});
  }
  watched.changed_since_look = false;
  watched.due = kNoDeadline;  // later changes may set it again
  auto look = std::make_unique<Look>();
  look->model = watched.model;
  look->location = watched.location;
  look->turn = turns_.Begin(watched.location.bucket, Clock::Real().Now());
  look->seen = std::move(watched.seen);
  for (const auto& [version, revision] : watched.told) look->told.insert(version);
  for (const auto& [version, revision] : watched.told_reserves) look->told.insert(version);
  const bool is_taken = lookers_->Submit([this, taken = std::move(look)]() mutable {
    RunLook(*taken);
    MutexLock lock(mutex_);
    looks_done_.push_back(std::move(taken));
    wake_.NotifyOne();
  });
  PENSTOCK_CHECK(is_taken, "there are more looks than threads");
}

void ObjectStoreSource::RunLook(Look& look) const {
  S3ClientOptions options = options_.client;
  options.http.stall_timeout = std::min(options.http.stall_timeout, kStallMax);
  options.on_page = [&turn = *look.turn] { turn.heard = Clock::Real().Now(); };
  S3Client client(*settings_, look.location.bucket, options, look.turn->is_cancelled);
  look.found = LookForVersions({look.location.prefix, look.model.selection, look.model.labelled,
                                std::move(look.told), options_.settle_time},
                               client, look.seen);
}

void ObjectStoreSource::TakeLooks() {
  std::vector<std::unique_ptr<Look>> looks;
  {
    MutexLock lock(mutex_);
    looks.swap(looks_done_);
  }
  for (const std::unique_ptr<Look>& look : looks) {
    const LookTurns::End end = turns_.Finish(look->location.bucket, Clock::Real().Now());
    const auto watched = watched_.find(look->model.name);
    if (watched == watched_.end()) continue;
    if (watched->second.model.base_path != look->model.base_path) continue;
    watched->second.seen = std::move(look->seen);
    if (!look->found.ok() && !end.why.ok()) look->found = end.why;
    TakeLook(watched->second, *look, end.is_due_again);
  }
}

void ObjectStoreSource::TakeLook(Watched& watched, Look& look, bool is_due_again) {
  const bool was_changed = watched.changed_since_look;
  // If other versions are wanted now, the result is about the wrong versions.
  if (was_changed && !AsksForSame(look.model, watched.model)) return;
  if (is_due_again) watched.due = std::min(watched.due, Clock::Real().Now());
  TakeFound(watched, std::move(look.found), look.model.generation);
  // The result does not answer the new configuration, so the next scan must report again.
  watched.was_told &= !was_changed;
  watched.shall_tell_status |= was_changed;
}

void ObjectStoreSource::TakeModels() {
  std::map<std::string, ObjectStoreModel> models;
  {
    MutexLock lock(mutex_);
    if (!std::exchange(models_changed_, false)) return;
    for (const ObjectStoreModel& model : models_) models.emplace(model.name, model);
    std::erase_if(versions_, [&](const auto& item) {
      const auto model = models.find(item.first);
      return model == models.end() ||
             model->second.base_path != watched_.at(item.first).model.base_path;
    });
  }
  std::erase_if(watched_, [&](const auto& item) {
    if (models.contains(item.first)) return false;
    target_->SetAspired(item.first, {}, item.second.model.generation);
    return true;
  });
  const SteadyTime now = Clock::Real().Now();
  for (auto& [name, model] : models) {
    Watched& watched = watched_[name];
    if (watched.model.base_path != model.base_path) watched = Watched();
    // Models that want other versions than before come first. The others keep their `due`:
    // SetModels may come faster than scans end, and the model that has been due for longest must
    // have its turn.
    const bool asks_for_same = AsksForSame(watched.model, model);
    watched.due = asks_for_same ? std::min(watched.due, now) : SteadyTime();
    watched.location = *ParseS3Path(model.base_path);
    watched.model = std::move(model);
    // The target may have forgotten a model that was removed and added again.
    watched.was_told = false;
    watched.shall_tell_status = true;
    watched.changed_since_look = true;
  }
  std::set<std::string> buckets;
  for (const auto& [name, watched] : watched_) buckets.insert(watched.location.bucket);
  turns_.KeepOnly(buckets);
  KeepFolders();
}

void ObjectStoreSource::TakeFound(Watched& watched, StatusOr<FoundVersions> found,
                                  uint64_t generation) {
  const SteadyTime now = Clock::Real().Now();
  const bool looks_again = options_.poll_period > Duration::zero();
  if (looks_again) watched.due = std::min(watched.due, now + options_.poll_period);
  if (is_stopping_) return;
  if (!found.ok()) return TellStatus(watched, found.status(), generation);
  NoteVersions(watched.model.name, *found);
  // Keep the loaded versions while the only versions in the bucket are not complete.
  const bool is_empty = found->wanted.empty();
  const bool holds = is_empty && (!found->waiting.empty() ||
                                  (options_.keeps_last_versions && !watched.told.empty()));
  const Status status = StatusOf(watched, *found);
  if (!status.ok()) TellStatus(watched, status, generation);
  if (!holds) Tell(watched, *found, generation);
  if (status.ok()) TellStatus(watched, status, generation);
}

Status ObjectStoreSource::StatusOf(Watched& watched, const FoundVersions& found) const {
  const std::string& base_path = watched.model.base_path;
  std::optional<core::VersionNumber> coming;  // the highest version that may still become complete
  for (const core::VersionNumber version : found.waiting) {
    if (watched.seen.at(version).missing.empty()) coming = version;
  }
  std::string left_out;
  if (!found.waiting.empty() && !coming && !found.wanted.empty()) {
    const core::VersionNumber highest = *found.waiting.rbegin();
    left_out = fmt::format("version {} in {} is not complete and left out: {}", highest.value,
                           base_path, watched.seen.at(highest).missing);
  }
  LogLeftOut(watched, std::move(left_out));
  if (coming) {
    watched.due = std::min(watched.due, Clock::Real().Now() + options_.settle_time);
    return Error(StatusCode::kFailedPrecondition,
                 "version {} in {} is not complete yet and waits: an object has changed lately",
                 coming->value, base_path);
  }
  if (!found.waiting.empty() && found.wanted.empty()) {
    const core::VersionNumber highest = *found.waiting.rbegin();
    return Error(StatusCode::kNotFound,
                 "there are no versions in {}: version {} is not complete: {}", base_path,
                 highest.value, watched.seen.at(highest).missing);
  }
  if (!found.wanted.empty()) return OkStatus();
  return Error(StatusCode::kNotFound, "{} in {}: a version is a folder named by a number",
               found.prefixes.empty() ? "there are no versions" : "none of the wanted versions is",
               base_path);
}

void ObjectStoreSource::LogLeftOut(Watched& watched, std::string text) {
  if (text != watched.left_out && !text.empty())
    PENSTOCK_LOG(kWarning, "model {}: {}", watched.model.name, text);
  watched.left_out = std::move(text);
}

void ObjectStoreSource::NoteVersions(const std::string& model, const FoundVersions& found) {
  std::set<core::VersionNumber> versions = found.Numbers();
  for (const core::VersionNumber version : found.without_model) versions.erase(version);
  MutexLock lock(mutex_);
  versions_[model] = std::move(versions);
}

void ObjectStoreSource::Tell(Watched& watched, const FoundVersions& found, uint64_t generation) {
  std::map<core::VersionNumber, uint64_t> wanted;
  for (const core::VersionNumber version : found.wanted) {
    wanted[version] = watched.seen.at(version).revision;
  }
  std::map<core::VersionNumber, uint64_t> reserves;
  for (const core::VersionNumber version : found.reserves) {
    reserves[version] = watched.seen.at(version).revision;
  }
  watched.has_looked = true;
  const bool is_same = wanted == watched.told && reserves == watched.told_reserves &&
                       found.for_labels == watched.told_for_labels;
  if (watched.was_told && is_same) return;
  watched.was_told = true;
  watched.told = std::move(wanted);
  watched.told_reserves = std::move(reserves);
  watched.told_for_labels = found.for_labels;
  KeepFolders();  // before any download into them
  std::vector<core::AspiredVersion> versions;
  for (const auto& [version, revision] : watched.told) {
    versions.push_back({version, MakeLoader(watched, version, found.prefixes.at(version)), revision,
                        found.for_labels.contains(version) ? core::VersionRole::kLabel
                                                           : core::VersionRole::kMain});
  }
  for (const auto& [version, revision] : watched.told_reserves) {
    versions.push_back({version, MakeLoader(watched, version, found.prefixes.at(version)), revision,
                        core::VersionRole::kReserve});
  }
  target_->SetAspired(watched.model.name, std::move(versions), generation);
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

void ObjectStoreSource::TellStatus(Watched& watched, Status status, uint64_t generation) {
  const bool is_again = std::exchange(watched.shall_tell_status, false) && !status.ok();
  if (status == watched.status && !is_again) return;
  watched.status = status;
  target_->SetSourceStatus(watched.model.name, std::move(status), generation);
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
    is_all_known &= watched.has_looked;
    for (const auto& [version, revision] : watched.told) {
      folders.insert(cache->FolderOf(watched.model.base_path, version, revision));
    }
  }
  cache->Keep(std::move(folders), is_all_known);
}

}  // namespace penstock
