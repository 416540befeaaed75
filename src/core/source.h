// SPDX-License-Identifier: Apache-2.0
// The interfaces of sources. They find versions in a folder, a fixed list or an object store.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/status.h"
#include "core/loader.h"
#include "core/servable.h"

namespace penstock::core {

// The purpose of an aspired version.
enum class VersionRole {
  kMain,     // for all requests
  kLabel,    // only because a label names it: requests that name no version get a ready main one
             // first
  kReserve,  // loaded only if no version is ready and the main ones could not be loaded
};

// A version that a source wants loaded, and its loader. If the source could make no loader,
// `loader` is the reason. It becomes the status of this version, and does not affect the others.
struct AspiredVersion {
  VersionNumber version;
  StatusOr<std::unique_ptr<Loader>> loader;
  // The state of the version's files. If it changes, a version that failed to load is tried again
  // at once, as if it were new. A version that is loaded stays as it is.
  uint64_t revision = 0;
  VersionRole role = VersionRole::kMain;
};

// Versions that are not complete, and what each one lacks, such as "it has no files".
using IncompleteVersions = std::map<VersionNumber, std::string>;

// The findings of a source about one model. A part without a value stays as it was last
// reported.
struct SourceReport {
  // The complete list of the versions to load. A version missing from it is not wanted
  // any more. A version that is loaded already stays as it is; its new loader is used only if it
  // must be loaded again.
  std::optional<std::vector<AspiredVersion>> versions = std::nullopt;
  // The complete list of the versions that are there and wanted, but not complete, so that they are
  // not aspired. Requests for such a version get the reason.
  std::optional<IncompleteVersions> incomplete = std::nullopt;
  // An error: the source cannot find out the versions, or there are none that are wanted. OK: it
  // can again. It unloads nothing. FAILED_PRECONDITION: a version is not complete, and the source
  // waits for it.
  std::optional<Status> status = std::nullopt;
};

// Receives the reports of sources; the Manager implements it. Thread-safe.
class AspiredTarget {
 public:
  virtual ~AspiredTarget() = default;

  // Takes over all parts of the report at once, so that nobody sees a new list with an old status.
  // Does nothing if the model is not configured. Returns at once.
  // `generation`: the ModelConfig::generation that this report was made for. A report for an older
  // generation is dropped if the configuration has asked for other versions since. 0: applies to
  // the configuration in force.
  virtual void Report(std::string_view model, SourceReport report, uint64_t generation = 0) = 0;

  // Report with one part only.
  void SetAspired(std::string_view model, std::vector<AspiredVersion> versions,
                  uint64_t generation = 0) {
    Report(model, {.versions = std::move(versions)}, generation);
  }
  void SetIncomplete(std::string_view model, IncompleteVersions versions, uint64_t generation = 0) {
    Report(model, {.incomplete = std::move(versions)}, generation);
  }
  void SetSourceStatus(std::string_view model, Status status, uint64_t generation = 0) {
    Report(model, {.status = std::move(status)}, generation);
  }
};

// Watches the versions of some models and reports them to a target. A source decides what exists
// and what is wanted; the target decides when to load it. It may report from any thread, as often
// as it likes: the target compares with what it has.
//
//   void FolderSource::Scan() {
//     std::vector<AspiredVersion> versions;
//     for (const auto& [number, path] : ListFolder(base_path_))
//       versions.push_back({.version = number, .loader = make_loader_({model_, number}, path)});
//     target_->SetAspired(model_, std::move(versions));   // the complete list, each time
//   }
//
// A source for the server implements ModelSource (model_source.h), in a folder of src/sources, with
// one line in app/builtins.cc. Thread-safe.
class Source {
 public:
  virtual ~Source() = default;

  // Starts to report to `target`, on a thread of the source. `target` must outlive the source, or
  // its Stop. Call it once.
  virtual void Start(AspiredTarget& target) = 0;
  // Ends the reports. After the return the target is not called any more. Waits for a report that
  // is under way. May be called without Start, and twice.
  virtual void Stop() = 0;
};

}  // namespace penstock::core
