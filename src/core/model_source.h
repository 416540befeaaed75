// SPDX-License-Identifier: Apache-2.0
// The interface of the sources that the server is built with. Each model of the configuration goes
// to the first source that matches its base path.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "core/loader.h"
#include "core/servable.h"
#include "core/source.h"
#include "core/version_selection.h"

namespace penstock::core {

// A version that has no files, because the configuration says what it is. It is complete when its
// parts, which are other models, are ready.
struct ComposedVersion {
  // One model that it needs: a version of it, the version of a label, or any version.
  struct Part {
    std::string used_by;  // for messages, such as "step 'rank'"
    std::string model;
    std::optional<VersionNumber> version = std::nullopt;
    std::string label = {};
    bool operator==(const Part&) const = default;
  };
  uint64_t revision = 0;  // changes with what the configuration says
  std::vector<Part> parts = {};
  bool operator==(const ComposedVersion&) const = default;
};

// One model, as its source needs to know it.
struct SourceModel {
  std::string name;
  std::string base_path;
  VersionSelection selection;  // default: the latest one
  uint64_t generation = 0;     // of the configuration, for reports to the target; 0: none
  std::set<VersionNumber> labelled = {};  // versions that are also wanted if they exist
  std::map<VersionNumber, ComposedVersion> composed = {};  // of a model without files
};

// Makes the loader of a version, whose files are at `path`. Sources call it on their threads when a
// version becomes aspired and when its files have changed. So it must be quick, and leave reading
// the model to the loader.
using LoaderFactory =
    std::function<StatusOr<std::unique_ptr<Loader>>(const ServableId& id, const std::string& path)>;

// Scales an estimate of the memory of a version by what earlier versions of the model took.
// Thread-safe.
using MemoryEstimator =
    std::function<ResourceEstimate(const std::string& model, uint64_t estimated_bytes)>;

// A source whose list of models can change while it runs. Thread-safe.
class ModelSource : public Source {
 public:
  // The kind of its base paths, for messages, such as "a folder".
  virtual std::string_view kind() const = 0;
  // True if this source reads base paths of this form.
  virtual bool Matches(std::string_view base_path) const = 0;

  // Returns the error with which SetModels would refuse the list; the message names the model. Also
  // prepares what the first models need, such as a cache.
  virtual Status Check(const std::vector<SourceModel>& models) = 0;
  // Replaces the list, and scans the models at once. A model that is not in the new list is
  // reported as having no versions. The target must know the models before this call. Returns at
  // once. On an error, as of Check, nothing changes.
  virtual Status SetModels(std::vector<SourceModel> models) = 0;

  // Whether the version exists at the base path of the model, wanted or not. nullopt: unknown, for
  // instance because the base path cannot be read or was not scanned yet. May read the base path.
  virtual std::optional<bool> HasVersion(const std::string& model, const std::string& base_path,
                                         VersionNumber version) const = 0;

  // Lists all versions at the base path with the paths of their files, for people who look at a
  // model that is not served. Reads the base path. UNIMPLEMENTED: the files would have to be
  // downloaded first.
  virtual StatusOr<std::map<VersionNumber, std::string>> ListVersions(
      const std::string& base_path) const = 0;
  // Returns why the version with its files at `path` would not be loaded, such as "it has no
  // files"; empty if it would. Reads the files' names.
  virtual std::string WhyIncomplete(const std::string& path) const = 0;
};

// The checks that all sources share. INVALID_ARGUMENT for an empty or repeated name, an empty base
// path, a count below 1, or a negative version.
Status CheckSourceModels(const std::vector<SourceModel>& models);

}  // namespace penstock::core
