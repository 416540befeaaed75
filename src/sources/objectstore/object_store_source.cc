// SPDX-License-Identifier: Apache-2.0
#include "sources/objectstore/object_store_source.h"

#include <algorithm>
#include <functional>
#include <optional>
#include <utility>

#include "base/executor.h"

namespace penstock {
namespace {

// Times of objects are whole seconds.
constexpr Duration kTimeStep = std::chrono::seconds(1);

uint64_t RevisionOf(const std::vector<S3Object>& objects) {
  uint64_t sum = 0;
  for (const S3Object& object : objects) {
    const auto time = object.last_modified.value_or(std::chrono::system_clock::time_point());
    sum += std::hash<std::string>()(fmt::format("{} {} {} {}", object.key, object.size, object.etag,
                                                time.time_since_epoch().count()));
  }
  return sum;
}

// The versions among the folders below `prefix`, by the name that sorts first, with their prefixes.
std::map<core::VersionNumber, std::string> VersionsOf(std::vector<std::string> folders,
                                                      const std::string& prefix) {
  std::sort(folders.begin(), folders.end());
  std::map<core::VersionNumber, std::string> versions;
  for (const std::string& folder : folders) {
    if (!folder.starts_with(prefix) || !folder.ends_with('/')) continue;
    const std::string_view name = std::string_view(folder).substr(prefix.size());
    const auto version = core::ParseVersion(name.substr(0, name.size() - 1));
    if (version) versions.emplace(*version, folder);
  }
  return versions;
}

std::set<core::VersionNumber> NumbersOf(
    const std::map<core::VersionNumber, std::string>& versions) {
  std::set<core::VersionNumber> numbers;
  for (const auto& [version, prefix] : versions) numbers.insert(version);
  return numbers;
}

}  // namespace

struct ObjectStoreSource::Found {
  std::map<core::VersionNumber, std::string> prefixes;  // of all versions
  std::set<core::VersionNumber> wanted;                 // and complete
  std::set<core::VersionNumber> waiting;                // not complete
};

ObjectStoreSource::ObjectStoreSource(ObjectStoreSourceOptions options,
                                     StatusOr<S3Settings> settings, FolderLoaderFactory make_loader)
    : options_(std::move(options)),
      settings_(std::move(settings)),
      make_loader_(std::move(make_loader)) {}

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

Status ObjectStoreSource::SetModels(std::vector<ObjectStoreModel> models) {
  std::set<std::string_view> names;
  for (const ObjectStoreModel& model : models) {
    TRY(ParseS3Path(model.base_path).status());
    TRY(core::CheckSelection(model.name, model.selection));
    if (!names.insert(model.name).second) {
      return InvalidArgument("the model \"{}\" is configured twice", model.name);
    }
  }
  if (!models.empty()) TRY(Prepare());
  MutexLock lock(mutex_);
  models_ = std::move(models);
  models_changed_ = true;
  wake_.NotifyOne();
  return OkStatus();
}

void ObjectStoreSource::RunThread() {
  SetThreadName("objects");
  while (Wait()) {
    TakeModels();
    for (auto& [name, watched] : watched_) {
      if (watched.due <= Clock::Real().Now() && !is_stopping_) LookAt(watched);
    }
  }
}

bool ObjectStoreSource::Wait() {
  SteadyTime until = kNoDeadline;
  for (const auto& [name, watched] : watched_) until = std::min(until, watched.due);
  MutexLock lock(mutex_);
  while (!is_stopping_ && !models_changed_) {
    if (until == kNoDeadline) {
      wake_.Wait(mutex_);
    } else if (!wake_.WaitUntil(mutex_, until)) {
      break;
    }
  }
  return !is_stopping_;
}

void ObjectStoreSource::TakeModels() {
  std::map<std::string, ObjectStoreModel> models;
  {
    MutexLock lock(mutex_);
    if (!std::exchange(models_changed_, false)) return;
    for (const ObjectStoreModel& model : models_) models.emplace(model.name, model);
  }
  std::erase_if(watched_, [&](const auto& item) {
    if (models.contains(item.first)) return false;
    target_->SetAspired(item.first, {});
    return true;
  });
  for (auto& [name, model] : models) {
    Watched& watched = watched_[name];
    if (watched.model.base_path != model.base_path) watched = Watched();
    watched.location = *ParseS3Path(model.base_path);
    watched.model = std::move(model);
    // The target may have forgotten a model that was removed and added again.
    watched.was_told = false;
    watched.shall_tell_status = true;
    watched.due = SteadyTime();
  }
  KeepFolders();
}

void ObjectStoreSource::LookAt(Watched& watched) {
  StatusOr<Found> found = Look(watched);
  const SteadyTime now = Clock::Real().Now();
  const bool looks_again = options_.poll_period > Duration::zero();
  watched.due = looks_again ? now + options_.poll_period : kNoDeadline;
  if (is_stopping_) return;
  if (!found.ok()) return TellStatus(watched, found.status());
  // Nothing is taken away for the sake of what is not complete.
  const bool is_empty = found->wanted.empty();
  const bool holds = is_empty && (!found->waiting.empty() ||
                                  (options_.keeps_last_versions && !watched.told.empty()));
  Status status;
  if (!found->waiting.empty()) {
    watched.due = std::min(watched.due, now + options_.settle_time);
    status = Error(StatusCode::kFailedPrecondition,
                   "version {} in {} is not complete yet and waits: an object has changed lately",
                   found->waiting.rbegin()->value, watched.model.base_path);
  } else if (is_empty) {
    status =
        Error(StatusCode::kNotFound, "{} in {}: a version is a folder named by a number",
              found->prefixes.empty() ? "there are no versions" : "none of the wanted versions is",
              watched.model.base_path);
  }
  if (!status.ok()) TellStatus(watched, status);
  if (!holds) Tell(watched, *found);
  if (status.ok()) TellStatus(watched, status);
}

StatusOr<ObjectStoreSource::Found> ObjectStoreSource::Look(Watched& watched) {
  const S3Location& location = watched.location;
  S3Client client(*settings_, location.bucket, options_.client, is_stopping_);
  ASSIGN_OR_RETURN(S3Listing listing, client.List(location.prefix, /*stops_at_folders=*/true));
  Found found;
  found.prefixes = VersionsOf(std::move(listing.folders), location.prefix);
  std::erase_if(watched.seen,
                [&](const auto& item) { return !found.prefixes.contains(item.first); });
  std::set<core::VersionNumber> there = NumbersOf(found.prefixes);
  std::set<core::VersionNumber> looked_at;
  // A version that is not complete gives its place to another one.
  while (true) {
    found.wanted = core::SelectVersions(watched.model.selection, there);
    const size_t waiting = found.waiting.size();
    for (const core::VersionNumber version : found.wanted) {
      if (!looked_at.insert(version).second) continue;
      ASSIGN_OR_RETURN(S3Listing objects,
                       client.List(found.prefixes.at(version), /*stops_at_folders=*/false));
      const bool is_complete = See(watched.seen[version], std::move(objects));
      // One that was told stays, and is loaded anew if it could not be.
      if (is_complete || watched.told.contains(version)) continue;
      found.waiting.insert(version);
      there.erase(version);
    }
    if (found.waiting.size() == waiting) return found;
  }
}

bool ObjectStoreSource::See(Seen& seen, S3Listing listing) const {
  const SteadyTime now = Clock::Real().Now();
  const uint64_t revision = RevisionOf(listing.objects);
  if (seen.objects.empty() || revision != seen.revision) {
    seen = {revision, now, false, std::move(listing.objects)};
  }
  Duration age = now - seen.since;
  if (listing.now && !seen.objects.empty()) {
    std::optional<std::chrono::system_clock::time_point> newest;
    for (const S3Object& object : seen.objects) {
      if (object.last_modified) newest = std::max(newest, object.last_modified);
    }
    if (newest) age = std::max<Duration>(age, *listing.now - *newest - kTimeStep);
  }
  seen.is_complete = seen.is_complete || age >= options_.settle_time;
  return seen.is_complete;
}

void ObjectStoreSource::Tell(Watched& watched, const Found& found) {
  std::map<core::VersionNumber, uint64_t> wanted;
  for (const core::VersionNumber version : found.wanted) {
    wanted[version] = watched.seen.at(version).revision;
  }
  watched.has_looked = true;
  if (watched.was_told && wanted == watched.told) return;
  watched.was_told = true;
  watched.told = std::move(wanted);
  KeepFolders();  // before anything is downloaded to them
  std::vector<core::AspiredVersion> versions;
  for (const auto& [version, revision] : watched.told) {
    versions.push_back(
        {version, MakeLoader(watched, version, found.prefixes.at(version)), revision});
  }
  target_->SetAspired(watched.model.name, std::move(versions));
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
  const Seen& seen = watched.seen.at(version);
  ObjectVersion object_version{{watched.model.name, version},
                               {watched.location.bucket, prefix},
                               seen.objects,
                               cache->FolderOf(watched.model.base_path, version, seen.revision)};
  TRY(CheckObjects(object_version));
  return std::make_unique<ObjectLoader>(std::move(object_version), std::move(store),
                                        std::move(cache));
}

void ObjectStoreSource::TellStatus(Watched& watched, Status status) {
  const bool is_again = std::exchange(watched.shall_tell_status, false) && !status.ok();
  if (status == watched.status && !is_again) return;
  watched.status = status;
  target_->SetSourceStatus(watched.model.name, std::move(status));
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
