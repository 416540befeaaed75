// SPDX-License-Identifier: Apache-2.0
// The source and its loaders, under a manager, with a bucket that the test describes.
#include "sources/objectstore/object_store_source.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <iterator>

#include "core/loader_fake.h"
#include "core/manager.h"
#include "sources/objectstore/http_server_fake.h"

namespace penstock {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

constexpr const char* kNow = "Sun, 22 Nov 2026 12:00:00 GMT";
constexpr const char* kLongAgo = "2026-11-22T11:00:00.000Z";

// A bucket "models" with keys and contents; lists them as S3 does, without folders' objects.
// Thread-safe.
class Bucket final {
 public:
  void Put(const std::string& key, const std::string& data, const char* time = kLongAgo) {
    MutexLock lock(mutex_);
    objects_[key] = {data, time};
  }
  void Remove(const std::string& key) {
    MutexLock lock(mutex_);
    objects_.erase(key);
  }
  std::string Answer(const std::string& head) {
    MutexLock lock(mutex_);
    const std::string target = head.substr(4, head.find(' ', 4) - 4);
    const std::string date = std::string("Date: ") + kNow + "\r\n";
    if (!target.starts_with("/models?")) {
      const auto found = objects_.find(target.substr(sizeof "/models/" - 1));
      if (found == objects_.end()) return FakeHttpServer::Response("404 Not Found", "");
      return FakeHttpServer::Ok(found->second.data);
    }
    const size_t at = target.find("prefix=") + 7;
    std::string prefix = target.substr(at, target.find('&', at) - at);
    for (size_t slash; (slash = prefix.find("%2F")) != std::string::npos;)
      prefix.replace(slash, 3, "/");
    const bool stops = target.find("delimiter=") != std::string::npos;
    std::string xml;
    for (const auto& [key, object] : objects_) {
      if (!key.starts_with(prefix)) continue;
      const size_t slash = key.find('/', prefix.size());
      if (stops && slash != std::string::npos) {
        xml += "<CommonPrefixes><Prefix>" + key.substr(0, slash + 1) + "</Prefix></CommonPrefixes>";
      } else {
        xml += fmt::format(
            "<Contents><Key>{}</Key><Size>{}</Size><ETag>\"{}\"</ETag><LastModified>{}"
            "</LastModified></Contents>",
            key, object.data.size(), object.data.substr(0, 5), object.time);
      }
    }
    return FakeHttpServer::Ok("<ListBucketResult>" + xml + "</ListBucketResult>", date);
  }

 private:
  struct Object {
    std::string data;
    std::string time;
  };
  Mutex mutex_;
  std::map<std::string, Object> objects_ GUARDED_BY(mutex_);
};

// A manager with the model "m" at s3://models/m, whose versions load if their file says so. One
// thread, beside those of the parts.
class ObjectStoreSourceTest : public ::testing::Test {
 protected:
  ObjectStoreSourceTest() {
    std::string pattern = (fs::temp_directory_path() / "penstock_objects_XXXXXX").string();
    root_ = mkdtemp(pattern.data());
    options_.poll_period = std::chrono::milliseconds(5);
    options_.cache_folder = root_ / "cache";
    options_.client.retry_pause = Duration::zero();
  }
  ~ObjectStoreSourceTest() override {
    if (source_ != nullptr) source_->Stop();
    manager_.Stop();
    source_.reset();
    fs::remove_all(root_);
  }

  void Start(core::VersionSelection selection = {}) {
    S3Settings settings;
    settings.endpoint.host = "127.0.0.1";
    settings.endpoint.port = std::to_string(server_.port());
    settings.endpoint.tls = false;
    source_ = std::make_unique<ObjectStoreSource>(
        options_, settings,
        [this](const core::ServableId&,
               const std::string& path) -> StatusOr<std::unique_ptr<core::Loader>> {
          std::ifstream file(path + "/model");
          const std::string text{std::istreambuf_iterator<char>(file), {}};
          if (text != "good") return Error(StatusCode::kDataLoss, "the model is {}", text);
          return std::make_unique<core::FakeLoader>(plan_);
        });
    ASSERT_TRUE(manager_.SetModel({.name = "m"}).ok());
    ASSERT_TRUE(source_->SetModels({{"m", "s3://models/m", std::move(selection)}}).ok());
    source_->Start(manager_);
  }
  int64_t Serving() {
    const auto handle = manager_.GetHandle("m");
    return handle.ok() ? handle->id().version.value : 0;
  }
  void WaitForServing(int64_t version) {
    ASSERT_TRUE(manager_.WaitFor([&] { return Serving() == version; }));
  }
  std::string WaitForSourceError(StatusCode code) {
    EXPECT_TRUE(manager_.WaitFor([&] { return manager_.SourceStatus("m").code() == code; }));
    return std::string(MessageOf(manager_.SourceStatus("m")));
  }

  fs::path root_;
  ObjectStoreSourceOptions options_;
  Bucket bucket_;
  FakeHttpServer server_{[this](const std::string& head) { return bucket_.Answer(head); }};
  std::shared_ptr<core::FakePlan> plan_ = std::make_shared<core::FakePlan>();
  core::Manager manager_{
      {.load_retries_max = 0, .load_retry_interval = std::chrono::milliseconds(1)}};
  std::unique_ptr<ObjectStoreSource> source_;
};

TEST_F(ObjectStoreSourceTest, FollowsTheVersionsInTheBucket) {
  Start();
  EXPECT_THAT(WaitForSourceError(StatusCode::kNotFound),
              HasSubstr("there are no versions in s3://models/m"));
  bucket_.Put("m/1/model", "good");
  bucket_.Put("m/tmp/model", "good");
  bucket_.Put("m/9", "good");
  WaitForServing(1);
  bucket_.Put("m/002/model", "good");
  WaitForServing(2);
  bucket_.Remove("m/002/model");
  WaitForServing(1);
  bucket_.Remove("m/1/model");
  WaitForServing(0);
}

TEST_F(ObjectStoreSourceTest, VersionThatIsBeingUploadedWaits) {
  options_.settle_time = std::chrono::hours(2);
  bucket_.Put("m/1/model", "good", "2026-11-22T09:00:00.000Z");
  bucket_.Put("m/2/model", "good", "2026-11-22T11:59:59.000Z");
  Start();
  WaitForServing(1);  // it takes the place
  EXPECT_THAT(WaitForSourceError(StatusCode::kFailedPrecondition),
              HasSubstr("version 2 in s3://models/m is not complete yet"));
  EXPECT_EQ(manager_.VersionStatuses("m").size(), 1U);
}

TEST_F(ObjectStoreSourceTest, FailedVersionIsLoadedWhenItsObjectsChange) {
  bucket_.Put("m/1/model", "bad");
  Start();
  ASSERT_TRUE(manager_.WaitFor([&] {
    const auto statuses = manager_.VersionStatuses("m");
    return !statuses.empty() && statuses[0].state == core::VersionState::kEnd;
  }));
  EXPECT_EQ(manager_.VersionStatuses("m")[0].status, absl::DataLossError("the model is bad"));
  bucket_.Put("m/1/model", "good");
  WaitForServing(1);
}

TEST_F(ObjectStoreSourceTest, KeysThatLeadOutOfTheFolderAreRefused) {
  bucket_.Put("m/1/model", "good");
  bucket_.Put("m/2/../../../evil", "x");
  Start(core::AllVersions{});
  WaitForServing(1);
  ASSERT_TRUE(manager_.WaitFor([&] { return manager_.VersionStatuses("m").size() == 2; }));
  EXPECT_THAT(manager_.VersionStatuses("m")[0].status.ToString(),
              HasSubstr("the object 'm/2/../../../evil' cannot be a file"));
  EXPECT_FALSE(fs::exists(root_ / "evil"));
}

TEST(CheckObjectsTest, BytesThatCannotBeAddedUpAreRefused) {
  ObjectVersion version{{"m", {1}}, {"models", "m/1/"}, {}, "folder"};
  version.objects = {{"m/1/a", uint64_t{1} << 50, "", {}}, {"m/1/b", 0, "", {}}};
  EXPECT_EQ(CheckObjects(version), OkStatus());
  version.objects[1].size = UINT64_MAX - 1;
  EXPECT_EQ(CheckObjects(version),
            absl::InvalidArgumentError("the objects have more than 1125899906842624 bytes"));
}

TEST_F(ObjectStoreSourceTest, LastVersionsMayBeKept) {
  options_.keeps_last_versions = true;
  bucket_.Put("m/1/model", "good");
  Start();
  WaitForServing(1);
  bucket_.Remove("m/1/model");
  WaitForSourceError(StatusCode::kNotFound);
  EXPECT_EQ(Serving(), 1);
}

TEST_F(ObjectStoreSourceTest, ModelsAreRemovedAndBadOnesRefused) {
  bucket_.Put("m/1/model", "good");
  Start();
  WaitForServing(1);
  EXPECT_EQ(source_->SetModels({{"m", "s3://", {}}}).code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(source_->SetModels({{"m", "s3://models", core::LatestVersions{0}}}).code(),
            StatusCode::kInvalidArgument);
  EXPECT_EQ(source_->SetModels({{"m", "s3://models", {}}, {"m", "s3://models", {}}}).code(),
            StatusCode::kInvalidArgument);
  EXPECT_TRUE(source_->SetModels({}).ok());
  WaitForServing(0);
}

TEST(ObjectStoreSourceSettingsTest, WhatIsMissingIsSaid) {
  const FolderLoaderFactory none;
  ObjectStoreSource no_cache({}, S3Settings(), none);
  EXPECT_THAT(std::string(MessageOf(no_cache.Prepare())), HasSubstr("--model_cache_directory"));
  ObjectStoreSource no_settings({}, absl::InvalidArgumentError("AWS_ENDPOINT_URL is odd"), none);
  EXPECT_EQ(no_settings.SetModels({{"m", "s3://models", {}}}),
            absl::InvalidArgumentError("AWS_ENDPOINT_URL is odd"));
  EXPECT_TRUE(no_settings.SetModels({}).ok());
}

}  // namespace
}  // namespace penstock
