// SPDX-License-Identifier: Apache-2.0
// What operators have changed about the models, over what the configuration says.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "core/servable.h"
#include "frontends/admin/model_change.h"
#include "protocols/tfs/config_files.h"

namespace penstock {

namespace config {
class ServerState;
}

// One thread at a time. Copied, so that a change that is refused leaves nothing behind.
class ModelOverrides final {
 public:
  ModelOverrides();
  ModelOverrides(const ModelOverrides& other);
  ModelOverrides(ModelOverrides&& other) noexcept;
  ModelOverrides& operator=(ModelOverrides&& other) noexcept;
  ~ModelOverrides();

  // From a file in protobuf's text format; one that is not there says nothing. INVALID_ARGUMENT:
  // cannot be read or understood.
  Status Read(const std::string& path);
  // Replaces the file whole, and makes sure that it is on the disk.
  Status Write(const std::string& path) const;

  // `base` as the operators want it.
  StatusOr<std::vector<tfs::ConfiguredModel>> Over(std::vector<tfs::ConfiguredModel> base) const;
  // Adds a change. `base` is what the configuration says. NOT_FOUND: no such model, or no such
  // label; INVALID_ARGUMENT: a bad ModelConfig.
  Status Add(const ModelChange& change, const std::vector<tfs::ConfiguredModel>& base);
  // Undoes a kPin or kLabel that was added to `before`. False: it is not there any more, because
  // other changes have come, so that nothing is undone.
  bool TakeBack(const ModelChange& change, const ModelOverrides& before);
  // A client has given a whole list: only what is pinned or unloaded remains.
  void ForgetList();

  bool IsEmpty() const;
  std::optional<core::VersionNumber> PinOf(const std::string& model) const;

 private:
  Status AddToModel(const ModelChange& change, const std::vector<tfs::ConfiguredModel>& base);

  std::unique_ptr<config::ServerState> state_;
};

}  // namespace penstock
