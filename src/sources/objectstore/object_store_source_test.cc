// SPDX-License-Identifier: Apache-2.0
// The source and its loaders, under a manager, with a bucket that the test describes.
#include "sources/objectstore/object_store_source.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iterator>

#include "base/os/test_folder.h"
#include "core/loader_fake.h"
#include "core/manager.h"
#include "s3/http_server_fake.h"

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
    objects_[key] = {data, time, false};
  }
  // Lists far too many objects below the prefix.
  void Flood(const std::string& prefix) {
    MutexLock lock(mutex_);
    flooded_ = prefix;
  }
  // Lists it, but does not give it out.
  void Hide(const std::string& key) {
    MutexLock lock(mutex_);
    objects_.at(key).is_hidden = true;
  }
  void Remove(const std::string& key) {
    MutexLock lock(mutex_);
    objects_.erase(key);
  }
  // Calls it for each list, before that is answered.
  void OnList(std::function<void()> callback) {
    MutexLock lock(mutex_);
    on_list_ = std::move(callback);
  }
  // Until what is there now has been listed and the lists were worked on.
  void WaitForScan() {
    MutexLock lock(mutex_);
    const int until = lists_ + 6;  // a scan takes at least one, and two if there is a version
    while (lists_ < until) changed_.Wait(mutex_);
  }
  // Until so many requests to buckets that do not answer have come.
  void WaitForSilence(int requests) {
    MutexLock lock(mutex_);
    while (silences_ < requests) changed_.Wait(mutex_);
  }
  std::string Answer(const std::string& head) {
    MutexLock lock(mutex_);
    const std::string target = head.substr(4, head.find(' ', 4) - 4);
    if (target.starts_with("/silent")) {
      ++silences_;
      changed_.NotifyAll();
      return std::string(FakeHttpServer::kSilence);
    }
    const std::string date = std::string("Date: ") + kNow + "\r\n";
    if (!target.starts_with("/models?")) {
      const auto found = objects_.find(target.substr(sizeof "/models/" - 1));
      if (found == objects_.end() || found->second.is_hidden)
        return FakeHttpServer::Response("404 Not Found", "");
      return FakeHttpServer::Ok(found->second.data);
    }
    ++lists_;
    changed_.NotifyAll();
    if (on_list_) on_list_();
    const size_t at = target.find("prefix=") + 7;
    std::string prefix = target.substr(at, target.find('&', at) - at);
    for (size_t slash; (slash = prefix.find("%2F")) != std::string::npos;)
      prefix.replace(slash, 3, "/");
    const bool stops = target.find("delimiter=") != std::string::npos;
    std::string xml;
    if (prefix == flooded_) {
      xml = fmt::format(
          "<IsTruncated>true</IsTruncated><NextContinuationToken>{}</NextContinuationToken>",
          lists_);
      for (int i = 0; i < 50'000; ++i) xml += "<Contents><Key>k</Key><Size>1</Size></Contents>";
    }
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
    bool is_hidden = false;
  };
  Mutex mutex_;
  CondVar changed_;
  int lists_ GUARDED_BY(mutex_) = 0;
  int silences_ GUARDED_BY(mutex_) = 0;
  std::map<std::string, Object> objects_ GUARDED_BY(mutex_);
  std::string flooded_ GUARDED_BY(mutex_);
  std::function<void()> on_list_ GUARDED_BY(mutex_);
};

// A manager with the model "m" at s3://models/m, whose versions load if their file says so. One
// thread, beside those of the parts.
class ObjectStoreSourceTest : public ::testing::Test {
 protected:
  ObjectStoreSourceTest() {
    options_.poll_period = std::chrono::milliseconds(5);
    options_.cache_folder = root_ / "cache";
    options_.client.retry_pause = Duration::zero();
  }
  ~ObjectStoreSourceTest() override { Stop(); }
  void Stop() {
    if (source_ != nullptr) source_->Stop();
    manager_.reset();
    source_.reset();
  }

  // As a further run of the server, if there was one.
  void Start(core::VersionSelection selection = {}) {
    Stop();
    manager_ = std::make_unique<core::Manager>(
        core::ManagerOptions{.load_retries_max = load_retries_max_,
                             .load_retry_interval = std::chrono::milliseconds(1)});
    S3Settings settings;
    settings.endpoint.host = "127.0.0.1";
    settings.endpoint.port = std::to_string(server_.port());
    settings.endpoint.tls = false;
    if (credentials_ != nullptr) settings.credentials = credentials_;
    source_ = std::make_unique<ObjectStoreSource>(
        options_, settings,
        [this](const core::ServableId&,
               const std::string& path) -> StatusOr<std::unique_ptr<core::Loader>> {
          std::ifstream file(path + "/model");
          const std::string text{std::istreambuf_iterator<char>(file), {}};
          if (!text.starts_with("good"))
            return Error(StatusCode::kDataLoss, "the model is {}", text);
          MutexLock lock(mutex_);
          loaded_.push_back(text);
          return std::make_unique<core::FakeLoader>(plan_);
        });
    ASSERT_TRUE(manager_->SetModel({.name = "m"}).ok());
    ASSERT_TRUE(source_->SetModels({{"m", "s3://models/m", std::move(selection)}}).ok());
    source_->Start(*manager_);
  }
  int64_t Serving() {
    const auto handle = manager_->GetHandle("m");
    return handle.ok() ? handle->id().version.value : 0;
  }
  void WaitForServing(int64_t version) {
    ASSERT_TRUE(manager_->WaitFor([&] { return Serving() == version; }));
  }
  bool HasVersion(int64_t version, const std::string& base_path = "s3://models/m") const {
    return source_->HasVersion("m", base_path, {version}).value_or(false);
  }
  std::string WaitForSourceError(StatusCode code) {
    EXPECT_TRUE(manager_->WaitFor([&] { return manager_->SourceStatus("m").code() == code; }));
    return std::string(MessageOf(manager_->SourceStatus("m")));
  }

  // What was loaded, in this order.
  std::vector<std::string> Loaded() {
    MutexLock lock(mutex_);
    return loaded_;
  }
  int Downloads() {
    const auto heads = server_.heads();
    return static_cast<int>(std::ranges::count_if(
        heads, [](const std::string& head) { return head.starts_with("GET /models/m/"); }));
  }
  // Names of the folders of m in the cache.
  std::vector<std::string> Cached() const {
    std::vector<std::string> names;
    for (const auto& entry : fs::directory_iterator(root_ / "cache/s3%3A%2F%2Fmodels%2Fm"))
      names.push_back(entry.path().filename());
    return names;
  }

  const TestFolder root_;
  int load_retries_max_ = 0;
  ObjectStoreSourceOptions options_;
  std::shared_ptr<AwsCredentialsProvider> credentials_;  // null: none
  Bucket bucket_;
  FakeHttpServer server_{[this](const std::string& head) { return bucket_.Answer(head); }};
  std::shared_ptr<core::FakePlan> plan_ = std::make_shared<core::FakePlan>();
  Mutex mutex_;
  std::vector<std::string> loaded_ GUARDED_BY(mutex_);
  std::unique_ptr<ObjectStoreSource> source_;
  std::unique_ptr<core::Manager> manager_;
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

TEST_F(ObjectStoreSourceTest, KnowsTheVersionsThatAreNotWantedToo) {
  for (const char* object : {"m/1/model", "m/2/model", "n/3/model"}) bucket_.Put(object, "good");
  Start();
  WaitForServing(2);
  EXPECT_TRUE(HasVersion(1) && HasVersion(2));
  EXPECT_EQ(source_->HasVersion("m", "s3://models/m", {3}), false);
  EXPECT_EQ(source_->HasVersion("n", "s3://models/n", {3}), std::nullopt);
  ASSERT_TRUE(source_->SetModels({{"m", "s3://models/n", {}}}).ok());
  WaitForServing(3);
  EXPECT_TRUE(HasVersion(3, "s3://models/n"));
  EXPECT_EQ(source_->HasVersion("m", "s3://models/m", {1}), std::nullopt);
  ASSERT_TRUE(source_->SetModels({}).ok());
  WaitForServing(0);
  EXPECT_FALSE(HasVersion(3, "s3://models/n"));
}

TEST_F(ObjectStoreSourceTest, VersionThatIsBeingUploadedWaits) {
  options_.settle_time = std::chrono::hours(2);
  bucket_.Put("m/1/model", "good", "2026-11-22T09:00:00.000Z");
  bucket_.Put("m/2/model", "good", "2026-11-22T11:59:59.000Z");
  Start();
  WaitForServing(1);  // it takes the place
  EXPECT_THAT(WaitForSourceError(StatusCode::kFailedPrecondition),
              HasSubstr("version 2 in s3://models/m is not complete yet"));
  EXPECT_EQ(manager_->VersionStatuses("m").size(), 1U);
}

TEST_F(ObjectStoreSourceTest, LowerVersionServesIfTheNewestCannotBeLoaded) {
  for (const char* version : {"1", "2", "3", "4"})
    bucket_.Put(fmt::format("m/{}/model", version), "good");
  bucket_.Put("m/5/model", "bad");
  bucket_.Put("m/4/model", "bad");
  bucket_.Put("m/3/", "");  // its marker does not count
  Start();
  WaitForServing(3);
  bucket_.Put("m/6/model", "good");
  WaitForServing(6);
  EXPECT_EQ(Loaded(), std::vector<std::string>(2, "good"));
}

TEST_F(ObjectStoreSourceTest, OnlyTheLatestVersionsHaveReserves) {
  bucket_.Put("m/1/model", "good");
  bucket_.Put("m/2/model", "bad");
  Start(core::SpecificVersions{{{2}}});
  ASSERT_TRUE(manager_->WaitFor([&] {
    const auto versions = manager_->VersionStatuses("m");
    return versions.size() == 1 && versions[0].state == core::VersionState::kEnd;
  }));
  bucket_.WaitForScan();
  EXPECT_EQ(Serving(), 0);
}

// Nothing is on its way: it is left out, and harms neither the status nor other versions.
TEST_F(ObjectStoreSourceTest, FolderWithAMarkerAloneIsNoVersion) {
  bucket_.Put("m/1/model", "good");
  bucket_.Put("m/2/variables/variables.index", "part");
  bucket_.Put("m/3/", "");
  testing::internal::CaptureStderr();
  Start();
  WaitForServing(1);
  bucket_.WaitForScan();
  EXPECT_EQ(manager_->SourceStatus("m"), OkStatus());
  EXPECT_TRUE(HasVersion(1));
  EXPECT_FALSE(HasVersion(2) || HasVersion(3));
  EXPECT_EQ(manager_->GetHandle("m", core::VersionNumber{2}).status(),
            absl::NotFoundError(
                "Servable not found for request: Specific(m, 2): the model has version 1; version "
                "2 is there, but it is not complete: it has variables and no saved_model.pb"));
  Stop();
  EXPECT_THAT(
      testing::internal::GetCapturedStderr(),
      testing::AllOf(HasSubstr("model m: version 2 in s3://models/m is not complete and left "
                               "out: "),
                     testing::Not(HasSubstr("version 3"))));
}

TEST_F(ObjectStoreSourceTest, VersionOfWhichOnlyTheMarkerIsLeftIsUnloaded) {
  bucket_.Put("m/1/", "");
  bucket_.Put("m/1/model", "good");
  Start();
  WaitForServing(1);
  bucket_.Remove("m/1/model");
  EXPECT_THAT(WaitForSourceError(StatusCode::kNotFound),
              HasSubstr("there are no versions in s3://models/m"));
  WaitForServing(0);
  EXPECT_FALSE(HasVersion(1));
}

TEST_F(ObjectStoreSourceTest, FailedVersionIsLoadedWhenItsObjectsChange) {
  bucket_.Put("m/1/model", "bad");
  Start();
  ASSERT_TRUE(manager_->WaitFor([&] {
    const auto statuses = manager_->VersionStatuses("m");
    return !statuses.empty() && statuses[0].state == core::VersionState::kEnd;
  }));
  EXPECT_EQ(manager_->VersionStatuses("m")[0].status, absl::DataLossError("the model is bad"));
  bucket_.Put("m/1/model", "good");
  WaitForServing(1);
}

TEST_F(ObjectStoreSourceTest, KeysThatLeadOutOfTheFolderAreRefused) {
  bucket_.Put("m/1/model", "good");
  bucket_.Put("m/2/../../../evil", "x");
  Start(core::AllVersions{});
  WaitForServing(1);
  ASSERT_TRUE(manager_->WaitFor([&] { return manager_->VersionStatuses("m").size() == 2; }));
  EXPECT_THAT(manager_->VersionStatuses("m")[0].status.ToString(),
              HasSubstr("the object 'm/2/../../../evil' cannot be a file"));
  EXPECT_FALSE(fs::exists(root_ / "evil"));
}

TEST_F(ObjectStoreSourceTest, NextRunLoadsWhatLiesInTheCache) {
  bucket_.Put("m/1/model", "good1");
  for (int run = 0; run < 2; ++run) {
    Start();
    WaitForServing(1);
  }
  EXPECT_EQ(Loaded(), (std::vector<std::string>{"good1", "good1"}));
  EXPECT_EQ(Downloads(), 1);
}

TEST_F(ObjectStoreSourceTest, NextRunDownloadsWhatWasReplaced) {
  struct Change {
    const char* data;  // the first five bytes make the ETag
    const char* time;
  };
  // Another ETag, another size, another time.
  for (const Change change : {Change{"good2", kLongAgo}, Change{"good2+", kLongAgo},
                              Change{"good2+", "2026-11-22T11:00:05.000Z"}}) {
    bucket_.Put("m/1/model", "good1");
    bucket_.Put("m/1/more", "more");
    Start();
    WaitForServing(1);
    Stop();
    const int before = Downloads();
    bucket_.Put("m/1/model", change.data, change.time);
    Start();
    WaitForServing(1);
    EXPECT_EQ(Loaded().back(), change.data);
    EXPECT_EQ(Downloads(), before + 2);  // nothing is taken from the old folder
    EXPECT_EQ(Cached().size(), 1U);
  }
}

TEST_F(ObjectStoreSourceTest, PartsOfWhatWasReplacedAreNotUsed) {
  bucket_.Put("m/1/model", "good1");
  bucket_.Put("m/1/more", "more");
  bucket_.Hide("m/1/more");  // the download ends before it is complete
  Start();
  ASSERT_TRUE(manager_->WaitFor([&] {
    const auto statuses = manager_->VersionStatuses("m");
    return !statuses.empty() && statuses[0].state == core::VersionState::kEnd;
  }));
  Stop();
  ASSERT_EQ(Cached().size(), 1U);
  EXPECT_TRUE(Cached()[0].ends_with(".part"));
  bucket_.Put("m/1/model", "good2");
  bucket_.Put("m/1/more", "more");
  Start();
  WaitForServing(1);
  EXPECT_EQ(Loaded(), std::vector<std::string>{"good2"});
  EXPECT_EQ(Cached().size(), 1U);
}

TEST_F(ObjectStoreSourceTest, ReplacedVersionServesOnAndIsLoadedAsItIsWhenItBreaks) {
  load_retries_max_ = 10;
  bucket_.Put("m/1/model", "good1");
  Start();
  WaitForServing(1);
  bucket_.Put("m/1/model", "good2");
  bucket_.WaitForScan();
  EXPECT_EQ(Loaded(), std::vector<std::string>{"good1"});
  {
    const core::Handle handle = *manager_->GetHandle("m");
    static_cast<core::FakeServable&>(handle.servable()).Break(absl::InternalError("it broke"));
  }
  ASSERT_TRUE(manager_->WaitFor([&] { return Loaded().size() == 2 && Serving() == 1; }));
  EXPECT_EQ(Loaded().back(), "good2");
}

TEST(CheckObjectsTest, BytesThatCannotBeAddedUpAreRefused) {
  ObjectVersion version{{"m", {1}}, {"models", "m/1/"}, {}, "folder"};
  version.objects = {{"m/1/a", uint64_t{1} << 50, "", {}}, {"m/1/b", 0, "", {}}};
  EXPECT_EQ(CheckObjects(version), OkStatus());
  version.objects[1].size = UINT64_MAX - 1;
  EXPECT_EQ(CheckObjects(version),
            absl::InvalidArgumentError("the objects have more than 1125899906842624 bytes"));
}

TEST(CheckObjectsTest, ObjectsThatCannotAllBeFilesAreRefused) {
  const auto checked = [](std::initializer_list<const char*> keys) {
    ObjectVersion version{{"m", {1}}, {"models", "m/1/"}, {}, "folder"};
    for (const char* key : keys) version.objects.push_back({std::string("m/1/") + key, 1, "", {}});
    return std::string(MessageOf(CheckObjects(version)));
  };
  EXPECT_EQ(checked({"a/b", "A/b", "a.c", "a/", "ab"}), "");
  EXPECT_EQ(checked({"a", "a.c", "a/b/c"}),
            "the object 'a' cannot be a file, as there is 'a/b/c' below it");
  EXPECT_EQ(checked({"x", "a/b/c", "a/b"}),
            "the object 'a/b' cannot be a file, as there is 'a/b/c' below it");
  EXPECT_EQ(checked({"b", "a", "b"}), "the object 'b' is listed twice");
  for (const char* odd : {"/etc/passwd", "../x", "a//b", "a/./b", "a/.."}) {
    EXPECT_EQ(checked({odd}), fmt::format("the object 'm/1/{}' cannot be a file: its key is no "
                                          "plain path",
                                          odd));
  }
  ObjectVersion version{{"m", {1}}, {"models", "m/1/"}, {}, "folder"};
  for (const std::string& odd :
       {std::string("m/1/a\0b", 7), std::string("m/2/a"), "m/1/" + std::string(300, 'a')}) {
    version.objects = {{odd, 1, "", {}}};
    EXPECT_EQ(CheckObjects(version).code(), StatusCode::kInvalidArgument);
  }
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

TEST_F(ObjectStoreSourceTest, BucketsThatDoNotAnswerHoldUpNoOther) {
  bucket_.Put("m/1/model", "good");
  Start();
  WaitForServing(1);
  const core::SourceModel m{"m", "s3://models/m", {}};
  // The models of one bucket wait for each other.
  ASSERT_TRUE(source_
                  ->SetModels({m,
                               {"a", "s3://silent1/a", {}},
                               {"b", "s3://silent1/b", {}},
                               {"c", "s3://silent2/c", {}},
                               {"d", "s3://silent3/d", {}}})
                  .ok());
  bucket_.WaitForSilence(3);
  bucket_.Put("m/2/model", "good");
  WaitForServing(2);
  bucket_.WaitForScan();
  const auto heads = server_.heads();
  EXPECT_EQ(std::ranges::count_if(
                heads, [](const std::string& head) { return head.starts_with("GET /silent"); }),
            3);
  Stop();  // ends the scans
}

TEST_F(ObjectStoreSourceTest, MoreSilentBucketsThanTurnsHoldUpNoOther) {
  options_.turns.slow_after = std::chrono::milliseconds(100);
  options_.turns.time_limit = std::chrono::seconds(1);
  bucket_.Put("m/1/model", "good");
  std::vector<core::SourceModel> models = {{"m", "s3://models/m", {}}};
  for (int i = 0; i < 6; ++i) {
    models.push_back({fmt::format("a{}", i), fmt::format("s3://silent{}/a", i), {}});
  }
  Start();
  ASSERT_TRUE(source_->SetModels(models).ok());
  bucket_.WaitForSilence(6);  // each has had a turn
  for (const char* version : {"2", "3"}) {
    bucket_.Put(fmt::format("m/{}/model", version), "good");
    WaitForServing(version[0] - '0');
  }
  Stop();
}

TEST_F(ObjectStoreSourceTest, EndlessScanIsReportedAndTriedAgain) {
  options_.turns.time_limit = std::chrono::milliseconds(20);
  Start();
  ASSERT_TRUE(source_->SetModels({{"m", "s3://silent/m", {}}}).ok());
  EXPECT_THAT(WaitForSourceError(StatusCode::kDeadlineExceeded),
              HasSubstr("bucket 'silent' could not be listed in 0 s"));
  bucket_.WaitForSilence(3);
}

TEST_F(ObjectStoreSourceTest, ScansOfRemovedOrMovedModelsAreNotAwaited) {
  bucket_.Put("m/1/model", "good");
  bucket_.Put("n/2/model", "good");
  Start();
  WaitForServing(1);
  ASSERT_TRUE(source_->SetModels({{"m", "s3://silent1/m", {}}, {"n", "s3://silent2/n", {}}}).ok());
  bucket_.WaitForSilence(2);
  EXPECT_EQ(Serving(), 1);
  ASSERT_TRUE(source_->SetModels({{"m", "s3://models/n", {}}}).ok());
  WaitForServing(2);
}

// No scan would ever be of the configuration in force, and those after the first never begun.
TEST_F(ObjectStoreSourceTest, ModelsAreReportedThoughTheListChangesInEachScan) {
  bucket_.Put("m/1/model", "good");
  Start();
  WaitForServing(1);
  uint64_t generation = 1;
  bucket_.OnList([&] {
    ++generation;
    EXPECT_TRUE(manager_->SetModel({.name = "m", .generation = generation, .same_since = 2}).ok());
    EXPECT_TRUE(source_
                    ->SetModels({{"a", "s3://models/a", {}, generation},
                                 {"b", "s3://models/b", {}, generation},
                                 {"m", "s3://models/m", {}, generation}})
                    .ok());
  });
  bucket_.WaitForScan();
  bucket_.Put("m/2/model", "good");
  WaitForServing(2);
  EXPECT_FALSE(manager_->StatusOf("m")->has_report);
  bucket_.OnList(nullptr);
  EXPECT_TRUE(manager_->WaitFor([&] { return manager_->StatusOf("m")->has_report; }));
}

TEST_F(ObjectStoreSourceTest, BucketThatDoesNotAnswerIsSaidAndTriedAgain) {
  options_.client.http.stall_timeout = std::chrono::milliseconds(1);
  options_.client.retries_max = 0;
  Start();
  ASSERT_TRUE(source_->SetModels({{"m", "s3://silent/m", {}}}).ok());
  EXPECT_THAT(WaitForSourceError(StatusCode::kDeadlineExceeded), HasSubstr("has sent nothing"));
  bucket_.WaitForSilence(3);
}

// FAILED_PRECONDITION would say that a version is coming.
TEST_F(ObjectStoreSourceTest, KeysThatCannotBeReadAreNothingToWaitFor) {
  credentials_ =
      std::make_shared<AwsCredentialsProvider>(AwsKeySources{.credentials_file = root_.path()});
  Start();
  EXPECT_EQ(WaitForSourceError(StatusCode::kInvalidArgument),
            "cannot read " + root_.path() + ": is it a file?");
}

TEST_F(ObjectStoreSourceTest, VersionWithTooManyObjectsHarmsNoOther) {
  bucket_.Put("m/1/model", "good");
  bucket_.Put("m/2/model", "good");
  bucket_.Flood("m/2/");
  Start(core::AllVersions{});
  WaitForServing(1);
  ASSERT_TRUE(manager_->WaitFor([&] { return manager_->VersionStatuses("m").size() == 2; }));
  EXPECT_THAT(manager_->VersionStatuses("m")[0].status.ToString(),
              HasSubstr("bucket 'models' has more than 200000 objects"));
}

TEST(ObjectStoreSourceSettingsTest, WhatIsMissingIsSaid) {
  const core::LoaderFactory none;
  ObjectStoreSource no_cache({}, S3Settings(), none);
  EXPECT_THAT(std::string(MessageOf(no_cache.Check({{"m", "s3://models", {}}}))),
              HasSubstr("--model_cache_directory"));
  ObjectStoreSource no_settings({}, absl::InvalidArgumentError("AWS_ENDPOINT_URL is odd"), none);
  EXPECT_EQ(no_settings.SetModels({{"m", "s3://models", {}}}),
            absl::InvalidArgumentError("AWS_ENDPOINT_URL is odd"));
  EXPECT_TRUE(no_settings.SetModels({}).ok());
}

}  // namespace
}  // namespace penstock
