// SPDX-License-Identifier: Apache-2.0
// Shared by the tests of the source: real folders, and a target that records the reports.
#pragma once

#include <gtest/gtest.h>

#include <atomic>
#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/mutex.h"
#include "base/os/test_folder.h"
#include "sources/directory/directory_source.h"

namespace penstock {

namespace fs = std::filesystem;

// Records each report as text: "1,2" (versions), "1!" (no loader), "1L" (for a label), "error:
// ...", with " of 3" added for generation 3. Counts reserves. Thread-safe.
class Target final : public core::AspiredTarget {
 public:
  // Records an error before the versions, and OK after them.
  void Report(std::string_view model, core::SourceReport report, uint64_t generation) override {
    if (report.incomplete) {
      MutexLock lock(mutex_);
      incomplete_[std::string(model)] = *std::move(report.incomplete);
    }
    if (report.status && !report.status->ok()) {
      Add(model, "error: " + StatusCodeName(report.status->code()) + GenerationText(generation),
          std::string(MessageOf(*report.status)));
    }
    if (report.versions) AddVersions(model, *report.versions, generation);
    if (report.status && report.status->ok()) Add(model, "ok" + GenerationText(generation));
  }
  // Waits for the next report about `model`, and returns it.
  std::string Next(const std::string& model) {
    MutexLock lock(mutex_);
    while (reports_[model].empty()) changed_.Wait(mutex_);
    std::string text = reports_[model].front();
    reports_[model].erase(reports_[model].begin());
    return text;
  }
  // The message of the last status that was not OK.
  std::string LastMessage() {
    MutexLock lock(mutex_);
    return last_message_;
  }
  // The last report of incomplete versions.
  core::IncompleteVersions Incomplete(const std::string& model) {
    MutexLock lock(mutex_);
    return incomplete_[model];
  }
  // How many reserves were reported, over all models and reports.
  int reserves() const { return reserves_; }
  // True if Next would return at once.
  bool HasMore(const std::string& model) {
    MutexLock lock(mutex_);
    return !reports_[model].empty();
  }

 private:
  void AddVersions(std::string_view model, const std::vector<core::AspiredVersion>& versions,
                   uint64_t generation) {
    std::string text;
    for (const core::AspiredVersion& version : versions) {
      if (version.role == core::VersionRole::kReserve) {
        ++reserves_;
        continue;
      }
      text += fmt::format("{}{}{}", text.empty() ? "" : ",", version.version.value,
                          version.loader.ok() ? "" : "!");
      if (version.role == core::VersionRole::kLabel) text += "L";
    }
    Add(model, text + GenerationText(generation));
  }
  static std::string GenerationText(uint64_t generation) {
    return generation == 0 ? "" : fmt::format(" of {}", generation);
  }
  void Add(std::string_view model, std::string text, std::string message = "") {
    MutexLock lock(mutex_);
    if (!message.empty()) last_message_ = std::move(message);
    reports_[std::string(model)].push_back(std::move(text));
    changed_.NotifyAll();
  }

  Mutex mutex_;
  CondVar changed_;
  std::map<std::string, std::vector<std::string>> reports_ GUARDED_BY(mutex_);
  std::string last_message_ GUARDED_BY(mutex_);
  std::map<std::string, core::IncompleteVersions> incomplete_ GUARDED_BY(mutex_);
  std::atomic<int> reserves_{0};
};

// A loader for tests that load nothing. One thread at a time.
class NoLoader final : public core::Loader {
 public:
  StatusOr<std::unique_ptr<core::Servable>> Load() override {
    return absl::UnimplementedError("not loaded in this test");
  }
};

// Gives each test its own folder.
//
//   Make("m/1");
//   auto source = Source();
//   ASSERT_TRUE(source->SetModels({{.name = "m", .base_path = Base("m")}}).ok());
//   source->Start(target_);
//   EXPECT_EQ(NextVersions(), "1");
//
// NextVersions waits for the source's thread, so no test sleeps. One thread, in addition to that of
// the source.
class DirectorySourceTest : public ::testing::Test {
 protected:
  std::string Base(const std::string& model) { return root_ / model; }
  // Makes a folder. If its name is a number, also a file in it, so that it is a version.
  void Make(const std::string& path) {
    root_.Make(path);
    if (core::ParseVersion(fs::path(path).filename().string())) Write(path + "/content");
  }
  // Makes a folder without files.
  void MakeEmpty(const std::string& path) { root_.Make(path); }
  // Makes the same for a version, atomically.
  void Place(const std::string& path) {
    Write(path + ".new/content");
    Rename(path + ".new", path);
  }
  // All paths are below the folder of the test.
  void Write(const std::string& path, std::string_view text = "x") { root_.Write(path, text); }
  void Rename(const std::string& from, const std::string& to) {
    fs::rename(root_ / from, root_ / to);
  }
  void Link(const std::string& target, const std::string& link) {
    fs::create_symlink(target, root_ / link);
  }
  void Remove(const std::string& path) { fs::remove_all(root_ / path); }

  // Waits for the next list of versions, and skips other reports.
  std::string NextVersions(const std::string& model = "m") {
    std::string text = target_.Next(model);
    while (text == "ok" || text.starts_with("error")) text = target_.Next(model);
    return text;
  }

  // Options with which every version is complete at once.
  static DirectorySourceOptions Options(Duration poll_period = std::chrono::milliseconds(1)) {
    DirectorySourceOptions options;
    options.poll_period = poll_period;
    options.settling.settle_time = Duration::zero();
    return options;
  }
  std::unique_ptr<DirectorySource> Source(Duration poll_period = std::chrono::milliseconds(1)) {
    return Source(Options(poll_period));
  }
  // A source whose versions have loaders that load nothing. A version with the file "no_loader"
  // gets an error instead.
  std::unique_ptr<DirectorySource> Source(const DirectorySourceOptions& options) {
    return std::make_unique<DirectorySource>(
        options,
        [this](const core::ServableId&,
               const std::string& path) -> StatusOr<std::unique_ptr<core::Loader>> {
          ++loaders_made_;
          if (fs::exists(path + "/no_loader")) return absl::NotFoundError("no model file");
          return std::make_unique<NoLoader>();
        });
  }

  const TestFolder root_;
  Target target_;
  std::atomic<int> loaders_made_{0};
};

}  // namespace penstock
