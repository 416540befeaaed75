// SPDX-License-Identifier: Apache-2.0
#include "config/change_request.h"

#include <fmt/format.h>

#include <algorithm>
#include <string>

namespace penstock {
namespace {

std::string Describe(const ModelChange& change) {
  switch (change.kind) {
    case ModelChange::Kind::kPut:
      return fmt::format("put model {}", change.model);
    case ModelChange::Kind::kRemove:
      return fmt::format("remove model {}", change.model);
    case ModelChange::Kind::kLoad:
      return fmt::format("load model {}", change.model);
    case ModelChange::Kind::kUnload:
      return fmt::format("unload model {}", change.model);
    case ModelChange::Kind::kLabel:
      return fmt::format("set label \"{}\" of model {} to version {}", change.label, change.model,
                         change.version.value);
    case ModelChange::Kind::kUnlabel:
      return fmt::format("remove label \"{}\" of model {}", change.label, change.model);
    case ModelChange::Kind::kPin:
      return fmt::format("pin model {} to version {}", change.model, change.version.value);
    case ModelChange::Kind::kUnpin:
      return fmt::format("unpin model {}", change.model);
  }
  return fmt::format("change model {}", change.model);
}

std::string Describe(const std::vector<ConfiguredModel>& models) {
  // A list may have thousands of models, and this is one line of the log.
  constexpr size_t kNamedMax = 10;
  std::string names;
  for (size_t i = 0; i < std::min(models.size(), kNamedMax); ++i)
    names += (i == 0 ? ": " : ", ") + models[i].name;
  return fmt::format("replace the list of models by {}{}{}", models.size(), names,
                     models.size() > kNamedMax ? ", ..." : "");
}

}  // namespace

std::string Describe(const ChangeRequest& request) {
  if (const auto* const change = std::get_if<ModelChange>(&request.change))
    return fmt::format("admin API, {}: {}", request.by, Describe(*change));
  return fmt::format("HandleReloadConfigRequest, {}: {}", request.by,
                     Describe(std::get<ModelListChange>(request.change).models));
}

}  // namespace penstock
