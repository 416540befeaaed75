// SPDX-License-Identifier: Apache-2.0
// A version is downloaded to FOLDER.part and renamed to FOLDER when it is whole. So a folder with
// the final name is always complete, even after a crash in the middle. Afterwards the version is an
// ordinary folder, and the loader for folders does the rest.
//
// Keys of objects come from outside and become paths of files. CheckObjects refuses every key that
// could lead out of the folder or hit another file. A load that fails keeps what it has downloaded:
// S3Client::Download continues a file where it ended.
#include "sources/objectstore/object_loader.h"

#include <algorithm>
#include <filesystem>
#include <system_error>
#include <utility>

#include "base/log.h"

namespace penstock {
namespace {

namespace fs = std::filesystem;

constexpr size_t kPathBytesMax = 1000;
constexpr size_t kNameBytesMax = 255;
constexpr uint64_t kBytesMax = uint64_t{1} << 50;  // of a version

// True for a key that only marks a folder. Consoles create such an object for an empty folder; it
// is no file.
bool IsFolderMarker(const S3Object& object) { return object.key.ends_with('/'); }

bool IsPlainPath(std::string_view path) {
  if (path.empty() || path.size() > kPathBytesMax || path.find('\0') != std::string_view::npos) {
    return false;
  }
  while (true) {
    const size_t slash = path.find('/');
    const std::string_view name = path.substr(0, slash);
    if (name.empty() || name == "." || name == ".." || name.size() > kNameBytesMax) return false;
    if (slash == std::string_view::npos) return true;
    path.remove_prefix(slash + 1);
  }
}

// Two objects must not be the same file, and no object may be below another one.
Status CheckPaths(std::vector<std::string_view> paths) {
  std::ranges::sort(paths);
  const auto twice = std::ranges::adjacent_find(paths);
  if (twice != paths.end()) {
    return InvalidArgument("the object '{}' is listed twice", *twice);
  }
  for (const std::string_view path : paths) {
    for (size_t slash = path.find('/'); slash != path.npos; slash = path.find('/', slash + 1)) {
      if (!std::ranges::binary_search(paths, path.substr(0, slash))) continue;
      return InvalidArgument("the object '{}' cannot be a file, as there is '{}' below it",
                             path.substr(0, slash), path);
    }
  }
  return OkStatus();
}

Status FolderError(const char* what, const std::string& path, const std::error_code& error) {
  const bool is_full = error == std::errc::no_space_on_device;
  return Error(is_full ? StatusCode::kResourceExhausted : StatusCode::kInternal, "cannot {} {}: {}",
               what, path, error.message());
}

}  // namespace

Status CheckObjects(const ObjectVersion& version) {
  const std::string& prefix = version.location.prefix;
  uint64_t bytes = 0;
  std::vector<std::string_view> paths;
  for (const S3Object& object : version.objects) {
    if (object.size > kBytesMax - bytes) {
      return InvalidArgument("the objects have more than {} bytes", kBytesMax);
    }
    bytes += object.size;
    if (IsFolderMarker(object)) continue;
    if (object.key.starts_with(prefix) &&
        IsPlainPath(std::string_view(object.key).substr(prefix.size()))) {
      paths.push_back(std::string_view(object.key).substr(prefix.size()));
      continue;
    }
    return InvalidArgument("the object '{}' cannot be a file: its key is no plain path",
                           object.key.substr(0, kPathBytesMax));
  }
  return CheckPaths(std::move(paths));
}

ObjectLoader::ObjectLoader(ObjectVersion version, std::shared_ptr<const ObjectStore> store,
                           std::shared_ptr<VersionCache> cache)
    : version_(std::move(version)), store_(std::move(store)), cache_(std::move(cache)) {}

StatusOr<core::ResourceEstimate> ObjectLoader::EstimateResources() {
  std::shared_ptr<core::Loader> loader;
  {
    MutexLock lock(mutex_);
    loader = folder_loader_;
  }
  // After the download, the loader for folders knows more than the sizes of the objects.
  if (loader != nullptr) return loader->EstimateResources();
  uint64_t bytes = 0;
  for (const S3Object& object : version_.objects) bytes += object.size;
  const uint64_t estimated = bytes + bytes / 5;  // as TensorFlow Serving estimates
  if (store_->estimate) return store_->estimate(version_.id.name, estimated);
  return core::ResourceEstimate{.ram_bytes = estimated};
}

StatusOr<core::ResourceEstimate> ObjectLoader::ResourcesTaken(
    const std::optional<core::MemoryGrowth>& growth) {
  std::shared_ptr<core::Loader> loader;
  {
    MutexLock lock(mutex_);
    loader = folder_loader_;
  }
  return loader->ResourcesTaken(growth);
}

StatusOr<std::unique_ptr<core::Servable>> ObjectLoader::Load() {
  is_cancelled_ = false;
  // From here to the end of the load the cache must not remove the folder, even if the version is
  // no longer wanted.
  const VersionCache::Use use(*cache_, version_.folder);
  TRY(Download());
  ASSIGN_OR_RETURN(std::shared_ptr<core::Loader> loader,
                   store_->make_loader(version_.id, version_.folder));
  {
    MutexLock lock(mutex_);
    folder_loader_ = loader;
  }
  // Cancel may have come while there was no loader to pass it to.
  if (is_cancelled_) return absl::CancelledError("the load was cancelled");
  return loader->Load();
}

void ObjectLoader::Cancel() {
  is_cancelled_ = true;
  MutexLock lock(mutex_);
  if (folder_loader_ != nullptr) folder_loader_->Cancel();
}

Status ObjectLoader::Download() {
  std::error_code error;
  if (fs::is_directory(version_.folder, error)) return OkStatus();
  const std::string part = version_.folder + ".part";
  S3Client client(store_->settings, version_.location.bucket, store_->client, is_cancelled_);
  const SteadyTime start = Clock::Real().Now();
  uint64_t bytes = 0;
  fs::create_directories(part, error);
  for (const S3Object& object : version_.objects) {
    if (IsFolderMarker(object)) continue;
    const fs::path path = fs::path(part) / object.key.substr(version_.location.prefix.size());
    if (!error) fs::create_directories(path.parent_path(), error);
    if (error) return FolderError("make", path.parent_path(), error);
    TRY(client.Download(object, path));
    bytes += object.size;
  }
  if (error) return FolderError("make", part, error);
  fs::rename(part, version_.folder, error);
  if (error) return FolderError("rename", part, error);
  // Now, as a download would write to a file that it finds.
  cache_->shared_files().Share(version_.folder, is_cancelled_);
  PENSTOCK_LOG(
      kInfo, "model {}: {} bytes in {} objects downloaded from s3://{}/{} in {} ms",
      version_.id.ToString(), bytes, version_.objects.size(), version_.location.bucket,
      version_.location.prefix,
      std::chrono::duration_cast<std::chrono::milliseconds>(Clock::Real().Now() - start).count());
  return OkStatus();
}

}  // namespace penstock
