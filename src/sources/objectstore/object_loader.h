// SPDX-License-Identifier: Apache-2.0
// Loads a version from an object store: downloads it, then loads the folder.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/mutex.h"
#include "core/loader.h"
#include "sources/objectstore/s3_client.h"
#include "sources/objectstore/version_cache.h"

namespace penstock {

// Makes the loader of a version that lies in the folder `path`. Thread-safe.
using FolderLoaderFactory = std::function<StatusOr<std::unique_ptr<core::Loader>>(
    const core::ServableId& id, const std::string& path)>;

// What a version of a model takes in memory that is reckoned at so many bytes. Thread-safe.
using MemoryEstimator =
    std::function<core::ResourceEstimate(const std::string& model, uint64_t reckoned_bytes)>;

// One version, as it was listed.
struct ObjectVersion {
  core::ServableId id;
  S3Location location;  // of the version: the prefix of all its objects
  std::vector<S3Object> objects;
  std::string folder;  // in the cache
};

// What the loaders of all versions share. Immutable.
struct ObjectStore {
  S3Settings settings;
  S3ClientOptions client;
  FolderLoaderFactory make_loader;
  MemoryEstimator estimate;  // null: what is reckoned
};

// INVALID_ARGUMENT if an object's key cannot be a path below the version's folder, also because of
// another one, or if there are too many bytes.
Status CheckObjects(const ObjectVersion& version);

// One thread at a time but for Cancel. What is downloaded stays until the cache removes it, so that
// a load that is tried again goes on where the last one ended.
class ObjectLoader final : public core::Loader {
 public:
  // `store` and `cache` are shared with whatever outlives the source.
  ObjectLoader(ObjectVersion version, std::shared_ptr<const ObjectStore> store,
               std::shared_ptr<VersionCache> cache);

  StatusOr<core::ResourceEstimate> EstimateResources() override EXCLUDES(mutex_);
  StatusOr<std::unique_ptr<core::Servable>> Load() override EXCLUDES(mutex_);
  StatusOr<core::ResourceEstimate> ResourcesTaken(
      const std::optional<core::MemoryGrowth>& growth) override EXCLUDES(mutex_);
  void Cancel() override EXCLUDES(mutex_);

 private:
  // Until the folder is there and complete.
  Status Download();

  const ObjectVersion version_;
  const std::shared_ptr<const ObjectStore> store_;
  const std::shared_ptr<VersionCache> cache_;
  std::atomic<bool> is_cancelled_ = false;
  Mutex mutex_;
  std::shared_ptr<core::Loader> folder_loader_ GUARDED_BY(mutex_);  // null: not downloaded yet
};

}  // namespace penstock
