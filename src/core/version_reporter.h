// SPDX-License-Identifier: Apache-2.0
// What every source that scans base paths does with its findings: it reports them to the target,
// but only when something has changed.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "core/loader.h"
#include "core/model_source.h"
#include "core/servable.h"
#include "core/source.h"

namespace penstock::core {

// A version that a scan has found, and the state of its files.
struct FoundVersion {
  std::string path;
  uint64_t revision = 0;
  VersionRole role = VersionRole::kMain;
  bool operator==(const FoundVersion&) const = default;
};
using FoundVersions = std::map<VersionNumber, FoundVersion>;

// The findings of one scan of a base path.
struct ScanResult {
  bool can_list = true;  // false: nothing is known of the versions, only `status` counts
  FoundVersions wanted;  // the versions to load
  IncompleteVersions incomplete = {};  // wanted versions that are not complete, and what each lacks
  Status status;                       // OK, or why versions are missing or not complete
};

// Reports the findings about the models of one source. It follows three rules:
// 1. It reports something only if it differs from the last one, or if the configuration
//    has changed since: the target may have forgotten a model that was removed and added again.
// 2. It reports all that a scan has found in one call. Otherwise a request or a reload that waits
//    for the model could take an old error, or versions that are about to go, for the answer.
// 3. It withholds an empty list while there are versions that are not complete yet, so that nothing
//    is unloaded while the only version is being replaced.
// One thread at a time. `target` outlives it.
class VersionReporter final {
 public:
  // Names the configuration that a scan is for. A scan that takes long may end after a change of
  // the configuration. Its result is still reported, but does not answer the new configuration.
  struct Ticket {
    uint64_t change = 0;
    uint64_t generation = 0;
  };
  using MakeLoader =
      std::function<StatusOr<std::unique_ptr<Loader>>(VersionNumber, const FoundVersion&)>;

  // `keeps_last_versions`: an empty list is withheld if versions were reported before.
  VersionReporter(AspiredTarget& target, bool keeps_last_versions)
      : target_(target), keeps_last_versions_(keeps_last_versions) {}

  // Takes over a new list of models. Reports those that are gone as having no versions. Returns the
  // models whose scans start from nothing: they are gone, or have another base path now.
  std::vector<std::string> SetModels(const std::vector<SourceModel>& models);

  // Call it before a scan. The model must be in the list.
  Ticket BeginScan(const std::string& model) const;
  // Reports the result of a scan. `make_loader` is called for each version if the list is reported.
  // `before_list` is called before that, when versions(model) has the new list. Does nothing if the
  // model is not in the list any more.
  void Report(const std::string& model, const Ticket& ticket, const ScanResult& result,
              const MakeLoader& make_loader, const std::function<void()>& before_list = nullptr);

  // The versions that were reported last. Empty for an unknown model.
  const FoundVersions& versions(const std::string& model) const;
  // True if a scan has found out the versions of the model, and they were not withheld.
  bool HasListed(const std::string& model) const;

 private:
  struct Model {
    std::string base_path;
    Ticket current;        // of the configuration in force
    bool answers = false;  // the list was reported for the configuration in force
    bool has_listed = false;
    FoundVersions versions;         // as reported last
    Status status;                  // as reported last
    IncompleteVersions incomplete;  // as reported last
    // Report these even if they are the same as before.
    bool repeats_error = false;
    bool repeats_incomplete = false;
  };

  // These return what to report; nullopt: it was reported already.
  static std::optional<std::vector<AspiredVersion>> NewVersions(
      Model& model, const FoundVersions& wanted, const MakeLoader& make_loader,
      const std::function<void()>& before_list);
  static std::optional<IncompleteVersions> NewIncomplete(Model& model,
                                                         const IncompleteVersions& versions);
  static std::optional<Status> NewStatus(Model& model, const Status& status);

  AspiredTarget& target_;
  const bool keeps_last_versions_;
  uint64_t changes_ = 0;  // how often SetModels was called
  std::map<std::string, Model, std::less<>> models_;
};

}  // namespace penstock::core
