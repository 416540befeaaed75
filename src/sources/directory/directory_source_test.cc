// SPDX-License-Identifier: Apache-2.0
#include "sources/directory/directory_source.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <filesystem>
#include <fstream>

#include "sources/directory/version_folders.h"

namespace penstock {
namespace {

namespace fs = std::filesystem;

TEST(ParseVersionTest, OnlyDigits) {
  EXPECT_EQ(ParseVersion("0")->value, 0);
  EXPECT_EQ(ParseVersion("00017")->value, 17);
  EXPECT_EQ(ParseVersion("20261122061406")->value, 20261122061406);
  EXPECT_EQ(ParseVersion("9223372036854775807")->value, INT64_MAX);
  for (const char* name :
       {"", "9223372036854775808", "17.tmp", "tmp", "-1", "+1", " 1", "1 ", "0x1", "2.denied"}) {
    EXPECT_FALSE(ParseVersion(name)) << name;
  }
}

// Remembers what it was told, as "1,2" (versions), "1!" (no loader), "error: ...". Thread-safe.
class Target final : public core::AspiredTarget {
 public:
  void SetAspired(std::string_view model, std::vector<core::AspiredVersion> versions) override {
    std::string text;
    for (const core::AspiredVersion& version : versions) {
      text += fmt::format("{}{}{}", text.empty() ? "" : ",", version.version.value,
                          version.loader.ok() ? "" : "!");
    }
    Add(model, text);
  }
  void SetSourceStatus(std::string_view model, Status status) override {
    Add(model, status.ok() ? "ok" : "error: " + StatusCodeName(status.code()));
  }
  // The next thing told of `model`; waits for it.
  std::string Next(const std::string& model) {
    MutexLock lock(mutex_);
    while (told_[model].empty()) changed_.Wait(mutex_);
    std::string text = told_[model].front();
    told_[model].erase(told_[model].begin());
    return text;
  }
  bool HasMore(const std::string& model) {
    MutexLock lock(mutex_);
    return !told_[model].empty();
  }

 private:
  void Add(std::string_view model, std::string text) {
    MutexLock lock(mutex_);
    told_[std::string(model)].push_back(std::move(text));
    changed_.NotifyAll();
  }

  Mutex mutex_;
  CondVar changed_;
  std::map<std::string, std::vector<std::string>> told_ GUARDED_BY(mutex_);
};

class NoLoader final : public core::Loader {
 public:
  StatusOr<std::unique_ptr<core::Servable>> Load() override {
    return absl::UnimplementedError("not loaded in this test");
  }
};

class DirectorySourceTest : public ::testing::Test {
 protected:
  DirectorySourceTest() {
    std::string pattern = (fs::temp_directory_path() / "penstock_source_XXXXXX").string();
    root_ = mkdtemp(pattern.data());
  }
  ~DirectorySourceTest() override { fs::remove_all(root_); }

  std::string Base(const std::string& model) { return (root_ / model).string(); }
  void Make(const std::string& path) { fs::create_directories(root_ / path); }
  void Remove(const std::string& path) { fs::remove_all(root_ / path); }

  std::unique_ptr<DirectorySource> Source(Duration poll_period = std::chrono::milliseconds(1)) {
    return std::make_unique<DirectorySource>(
        DirectorySourceOptions{poll_period},
        [this](const core::ServableId&,
               const std::string& path) -> StatusOr<std::unique_ptr<core::Loader>> {
          ++loaders_made_;
          if (fs::exists(path + "/no_loader")) return absl::NotFoundError("no model file");
          return std::make_unique<NoLoader>();
        });
  }

  fs::path root_;
  Target target_;
  std::atomic<int> loaders_made_{0};
};

TEST_F(DirectorySourceTest, FollowsFoldersAsTheyComeAndGo) {
  Make("m");
  const auto source = Source();
  ASSERT_TRUE(source->SetModels({{"m", Base("m"), {}}}).ok());
  source->Start(target_);
  EXPECT_EQ(target_.Next("m"), "error: NOT_FOUND");  // there is no version
  EXPECT_EQ(target_.Next("m"), "");
  Make("m/1");
  EXPECT_EQ(target_.Next("m"), "ok");
  EXPECT_EQ(target_.Next("m"), "1");
  Make("m/2.tmp");
  std::ofstream(root_ / "m" / "7") << "a file is no version";
  fs::rename(root_ / "m/2.tmp", root_ / "m/2");
  EXPECT_EQ(target_.Next("m"), "2");
  fs::rename(root_ / "m/2", root_ / "m/2.denied");
  EXPECT_EQ(target_.Next("m"), "1");
  Remove("m/1");
  EXPECT_EQ(target_.Next("m"), "error: NOT_FOUND");
  EXPECT_EQ(target_.Next("m"), "");
  source->Stop();
  EXPECT_FALSE(target_.HasMore("m"));
}

TEST_F(DirectorySourceTest, Selections) {
  for (const char* version : {"1", "002", "3", "20", "x"}) Make(std::string("m/") + version);
  const auto source = Source(Duration::zero());
  source->Start(target_);
  const auto select = [&](VersionSelection selection) {
    EXPECT_TRUE(source->SetModels({{"m", Base("m"), std::move(selection)}}).ok());
    return target_.Next("m");
  };
  EXPECT_EQ(select({}), "20");
  EXPECT_EQ(select(LatestVersions{2}), "3,20");
  EXPECT_EQ(select(LatestVersions{100}), "1,2,3,20");
  EXPECT_EQ(select(AllVersions{}), "1,2,3,20");
  EXPECT_EQ(select(SpecificVersions{{{2}, {20}, {99}}}), "2,20");
  EXPECT_EQ(select(SpecificVersions{{{99}}}), "error: NOT_FOUND");
  EXPECT_EQ(target_.Next("m"), "");
}

TEST_F(DirectorySourceTest, SameNumberTwiceIsOneVersion) {
  for (const char* version : {"1", "01", "001"}) Make(std::string("m/") + version);
  EXPECT_EQ(*ListVersions(Base("m")),
            (std::map<core::VersionNumber, std::string>{{{1}, Base("m") + "/001"}}));
}

TEST_F(DirectorySourceTest, MissingBasePathIsToldOnceAndHarmsNoOtherModel) {
  Make("b/1");
  const auto source = Source();
  ASSERT_TRUE(source->SetModels({{"a", Base("a"), {}}, {"b", Base("b"), {}}}).ok());
  source->Start(target_);
  EXPECT_EQ(target_.Next("a"), "error: NOT_FOUND");
  EXPECT_EQ(target_.Next("b"), "1");
  for (int version = 2; version < 5; ++version) {  // several looks
    Make("b/" + std::to_string(version));
    EXPECT_EQ(target_.Next("b"), std::to_string(version));
  }
  EXPECT_FALSE(target_.HasMore("a"));
  Make("a/1");
  // The base path may be seen before the version in it.
  EXPECT_EQ(target_.Next("a"), "ok");
  std::string told = target_.Next("a");
  if (told.empty()) told = target_.Next("a");
  EXPECT_EQ(told, "1");
  Remove("a");
  // Gone altogether: nothing is unloaded. While it goes, it may be seen empty.
  told = target_.Next("a");
  if (told.empty()) told = target_.Next("a");
  EXPECT_EQ(told, "error: NOT_FOUND");
}

TEST_F(DirectorySourceTest, BasePathErrorsSayWhichPath) {
  std::ofstream(root_ / "file") << "x";
  const Status missing = ListVersions(Base("nowhere")).status();
  EXPECT_EQ(missing.code(), StatusCode::kNotFound);
  EXPECT_NE(missing.message().find("nowhere"), absl::string_view::npos);
  EXPECT_EQ(ListVersions(Base("file")).status().code(), StatusCode::kNotFound);
}

TEST_F(DirectorySourceTest, ModelsAreReplacedAtRunTime) {
  Make("a/1");
  Make("b/1");
  const auto source = Source(std::chrono::hours(1));  // only SetModels wakes it
  ASSERT_TRUE(source->SetModels({{"a", Base("a"), {}}}).ok());
  source->Start(target_);
  EXPECT_EQ(target_.Next("a"), "1");
  ASSERT_TRUE(source->SetModels({{"b", Base("b"), {}}}).ok());
  EXPECT_EQ(target_.Next("a"), "");
  EXPECT_EQ(target_.Next("b"), "1");
  Make("a/9");
  ASSERT_TRUE(source->SetModels({{"b", Base("a"), {}}}).ok());
  EXPECT_EQ(target_.Next("b"), "9");
}

TEST_F(DirectorySourceTest, ErrorIsToldAgainToReplacedModelsAndTakenBack) {
  Make("good/1");
  const auto source = Source(std::chrono::hours(1));
  source->Start(target_);
  for (int i = 0; i < 2; ++i) {
    ASSERT_TRUE(source->SetModels({{"a", Base("nowhere"), {}}}).ok());
    EXPECT_EQ(target_.Next("a"), "error: NOT_FOUND");
  }
  ASSERT_TRUE(source->SetModels({{"a", Base("good"), {}}}).ok());
  EXPECT_EQ(target_.Next("a"), "ok");
  EXPECT_EQ(target_.Next("a"), "1");
}

TEST_F(DirectorySourceTest, NegativePeriodNeverLooks) {
  Make("a/1");
  const auto source = Source(-std::chrono::seconds(1));
  ASSERT_TRUE(source->SetModels({{"a", Base("a"), {}}}).ok());
  source->Start(target_);
  ASSERT_TRUE(source->SetModels({}).ok());
  source->Stop();
  EXPECT_EQ(loaders_made_, 0);
}

TEST_F(DirectorySourceTest, LoaderThatCannotBeMadeIsTriedAtEachLook) {
  Make("a/1/no_loader");
  Make("a/2");
  const auto source = Source();
  ASSERT_TRUE(source->SetModels({{"a", Base("a"), AllVersions{}}}).ok());
  source->Start(target_);
  EXPECT_EQ(target_.Next("a"), "1!,2");
  Remove("a/1/no_loader");
  EXPECT_EQ(target_.Next("a"), "1,2");
}

TEST_F(DirectorySourceTest, BadModelsAreRefused) {
  const auto source = Source();
  const auto code = [&](std::vector<DirectoryModel> models) {
    return source->SetModels(std::move(models)).code();
  };
  EXPECT_EQ(code({{"", "/x", {}}}), StatusCode::kInvalidArgument);
  EXPECT_EQ(code({{"a", "", {}}}), StatusCode::kInvalidArgument);
  EXPECT_EQ(code({{"a", "/x", {}}, {"a", "/y", {}}}), StatusCode::kInvalidArgument);
  EXPECT_EQ(code({{"a", "/x", LatestVersions{0}}}), StatusCode::kInvalidArgument);
  EXPECT_EQ(code({{"a", "/x", SpecificVersions{{{-1}}}}}), StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace penstock
