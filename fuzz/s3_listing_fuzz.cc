// SPDX-License-Identifier: Apache-2.0
// A page of a bucket's listing, and the document of an error. What is to be downloaded must lie
// below the version's folder, and nothing of it may make a header of its own.
#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>

#include "s3/s3_listing.h"
#include "sources/objectstore/object_loader.h"

namespace penstock {
namespace {

constexpr std::string_view kPrefix = "m/1/";

void Require(bool condition) {
  if (!condition) std::abort();
}

void CheckObject(const S3Object& object) {
  Require(std::ranges::all_of(object.etag, [](char c) { return c > ' ' && c <= '~'; }));
  if (object.last_modified) {
    Require(object.last_modified->time_since_epoch() >= std::chrono::seconds(0));
  }
}

// Of a version that may be downloaded.
void CheckPath(const S3Object& object) {
  if (object.key.ends_with('/')) return;  // stands for a folder
  Require(object.key.starts_with(kPrefix));
  const std::filesystem::path folder = "/cache/folder.part";
  const auto path = folder / object.key.substr(kPrefix.size());
  Require(path.lexically_normal() == path && path.native().find('\0') == std::string::npos);
  Require(path.native().starts_with(folder.native() + "/"));
}

}  // namespace
}  // namespace penstock

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace penstock;
  const std::string_view xml(reinterpret_cast<const char*>(data), size);
  static_cast<void>(ParseS3Error(xml));
  StatusOr<S3Listing> listing = ParseListing(xml);
  if (!listing.ok()) return 0;
  for (const S3Object& object : listing->objects) CheckObject(object);
  ObjectVersion version{{"m", {1}}, {"bucket", std::string(kPrefix)}, {}, "/cache/folder"};
  version.objects = std::move(listing->objects);
  if (!CheckObjects(version).ok()) return 0;
  for (const S3Object& object : version.objects) CheckPath(object);
  static const auto store = std::make_shared<const ObjectStore>();
  ObjectLoader loader(version, store, nullptr);
  const auto estimate = loader.EstimateResources();
  Require(estimate.ok());
  for (const S3Object& object : version.objects) Require(estimate->ram_bytes >= object.size);
  return 0;
}
