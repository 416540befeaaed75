// SPDX-License-Identifier: Apache-2.0
// A source for models on disk: the versions are the numeric folders below the base path, as in
// TensorFlow Serving.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "base/clock.h"
#include "base/mutex.h"
#include "base/status.h"
#include "core/model_source.h"
#include "core/version_reporter.h"
#include "sources/directory/directory_options.h"
#include "sources/directory/folder_watches.h"
#include "sources/directory/model_scanner.h"
#include "sources/directory/wake_event.h"

namespace penstock {

// Reports to the target when the set of wanted and complete versions changes, and when the files of
// one change. It has one thread, which sleeps until the kernel reports a change in a folder or a
// poll is due. If a base path cannot be read, its model keeps its versions, and the source status
// gives the reason; other models are not affected. Thread-safe.
class DirectorySource final : public core::ModelSource {
 public:
  // `make_loader` is called on the source's thread, for each version that is reported. It must be
  // quick, and thread-safe if others use it too.
  DirectorySource(DirectorySourceOptions options, core::LoaderFactory make_loader);
  ~DirectorySource() override;

  std::string_view kind() const override { return "a folder"; }
  // Every path that does not begin with a scheme, as in "scheme://".
  bool Matches(std::string_view base_path) const override;
  Status Check(const std::vector<core::SourceModel>& models) override;
  Status SetModels(std::vector<core::SourceModel> models) override EXCLUDES(mutex_);
  // Lists the folder.
  std::optional<bool> HasVersion(const std::string& model, const std::string& base_path,
                                 core::VersionNumber version) const override;
  StatusOr<std::map<core::VersionNumber, std::string>> ListVersions(
      const std::string& base_path) const override;
  std::string WhyIncomplete(const std::string& path) const override;

  void Start(core::AspiredTarget& target) override EXCLUDES(mutex_);
  void Stop() override EXCLUDES(mutex_);

 private:
  // The state of one model. Used only on the source's thread.
  struct Watched {
    Watched(core::SourceModel model, SettlingOptions options, FolderWatches& watches)
        : scanner(std::move(model), options, watches) {}

    ModelScanner scanner;
    SteadyTime due;         // of the next scan
    SteadyTime busy_until;  // no earlier scan, whatever changes
    std::string left_out;   // Found::left_out of the last scan
    std::string absent;     // Found::absent of the last scan
  };

  void RunThread() EXCLUDES(mutex_);
  // Takes over the models of SetModels, if they changed. Returns false to stop the thread.
  bool TakeModels() EXCLUDES(mutex_);
  // Adds or changes one model, whose first scan is due at once.
  void SetModel(core::SourceModel model);
  // Scans one model, reports what has changed, and sets the time of the next scan.
  void Scan(Watched& watched);
  // When to scan again if the kernel reports no change.
  SteadyTime NextScan(const Found& found) const;
  // Reads the kernel's events, and makes the models with changes due.
  void ReadChanges();
  // Sleeps until there is something to do.
  void Wait();

  const DirectorySourceOptions options_;
  const core::LoaderFactory make_loader_;
  WakeEvent wake_;

  Mutex mutex_;
  std::vector<core::SourceModel> models_ GUARDED_BY(mutex_);
  bool models_changed_ GUARDED_BY(mutex_) = false;
  bool stopping_ GUARDED_BY(mutex_) = false;
  bool has_warned_ GUARDED_BY(mutex_) = false;  // that nothing is scanned

  // Set by Start, then used only on the source's thread.
  std::optional<core::VersionReporter> reporter_;
  FolderWatches watches_;
  SteadyTime next_read_;
  std::map<std::string, Watched, std::less<>> watched_;
  std::thread thread_;
};

}  // namespace penstock
