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
#include "core/model_source.h"
#include "s3/s3_client.h"
#include "sources/objectstore/version_cache.h"

namespace penstock {

// One version and its listed objects.
struct ObjectVersion {
  core::ServableId id;
  S3Location location;  // the prefix of all objects of the version
  std::vector<S3Object> objects;
  std::string folder;  // in the cache
};

// What the loaders of all versions share: how to reach the store, and how to load a folder.
// Immutable.
struct ObjectStore {
  S3Settings settings;
  S3ClientOptions client;
  core::LoaderFactory make_loader;
  core::MemoryEstimator estimate;  // null: the estimate stays as it is
};

// INVALID_ARGUMENT if an object's key cannot be a path below the version's folder, also because
// another object conflicts with it, or if the objects have too many bytes.
Status CheckObjects(const ObjectVersion& version);

// Downloads a version to the cache if it is not there, then loads the folder. Downloaded files stay
// until the cache removes them, so another try of a failed load continues where the last one ended.
// One thread at a time but for Cancel.
class ObjectLoader final : public core::Loader {
 public:
  // The loaders share `store` and `cache`; they may outlive the source.
  ObjectLoader(ObjectVersion version, std::shared_ptr<const ObjectStore> store,
               std::shared_ptr<VersionCache> cache);

  StatusOr<core::ResourceEstimate> EstimateResources() override EXCLUDES(mutex_);
  StatusOr<std::unique_ptr<core::Servable>> Load() override EXCLUDES(mutex_);
  StatusOr<core::ResourceEstimate> ResourcesTaken(
      const std::optional<core::MemoryGrowth>& growth) override EXCLUDES(mutex_);
  void Cancel() override EXCLUDES(mutex_);

 private:
  // Downloads until the folder is complete.
  Status Download();

  const ObjectVersion version_;
  const std::shared_ptr<const ObjectStore> store_;
  const std::shared_ptr<VersionCache> cache_;
  std::atomic<bool> is_cancelled_ = false;
  Mutex mutex_;
  std::shared_ptr<core::Loader> folder_loader_ GUARDED_BY(mutex_);  // null: not downloaded yet
};

}  // namespace penstock
