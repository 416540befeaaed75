// SPDX-License-Identifier: Apache-2.0
// The changes that operators have made to the models. They apply on top of the configuration.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "config/change_request.h"
#include "core/servable.h"

namespace penstock {

namespace config {
class ServerState;
}

// The changes of all operators together. To try a change, make a copy and change that: if the
// change is refused, drop the copy, and nothing has happened.
//
//   ModelOverrides next = overrides_;
//   TRY(next.Add(change, base_));
//   ASSIGN_OR_RETURN(auto models, next.Over(base_));
//   TRY(set.Apply(models, where));
//   overrides_ = std::move(next);
//
// One thread at a time.
class ModelOverrides final {
 public:
  ModelOverrides();
  ModelOverrides(const ModelOverrides& other);
  ModelOverrides(ModelOverrides&& other) noexcept;
  ModelOverrides& operator=(ModelOverrides&& other) noexcept;
  ~ModelOverrides();

  // Reads a file in protobuf's text format. If there is no such file, there are no changes.
  // INVALID_ARGUMENT: the file cannot be read or has a mistake.
  Status Read(const std::string& path);
  // Replaces the whole file, and makes sure that the new one is on the disk.
  Status Write(const std::string& path) const;

  // Returns `base` with the changes of the operators.
  StatusOr<std::vector<ConfiguredModel>> Over(std::vector<ConfiguredModel> base) const;
  // Adds a change. `base` is the list of models in the configuration. NOT_FOUND: no such model, or
  // no such label; INVALID_ARGUMENT: a bad ModelConfig.
  Status Add(const ModelChange& change, const std::vector<ConfiguredModel>& base);
  // Undoes a kPin or kLabel: restores the pin or label that `before` had. Returns false, and does
  // nothing, if later changes have already replaced it.
  bool RollBack(const ModelChange& change, const ModelOverrides& before);
  // Call it when a client replaces the whole list of models. Forgets added and removed models, and
  // labels; keeps pins and unloaded models.
  void ForgetList();

  bool IsEmpty() const;
  // The version that an operator has pinned; nullopt: none.
  std::optional<core::VersionNumber> PinOf(const std::string& model) const;

 private:
  Status AddToModel(const ModelChange& change, const std::vector<ConfiguredModel>& base);

  std::unique_ptr<config::ServerState> state_;
};

}  // namespace penstock
