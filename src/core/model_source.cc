// SPDX-License-Identifier: Apache-2.0
#include "core/model_source.h"

namespace penstock::core {

Status CheckSourceModels(const std::vector<SourceModel>& models) {
  std::set<std::string_view> names;
  for (const SourceModel& model : models) {
    if (model.name.empty())
      return InvalidArgument("the model with base path \"{}\" has no name", model.base_path);
    if (model.base_path.empty())
      return InvalidArgument("the model \"{}\" has no base path", model.name);
    TRY(CheckSelection(model.name, model.selection));
    if (!names.insert(model.name).second)
      return InvalidArgument("the model \"{}\" is configured twice", model.name);
  }
  return OkStatus();
}

}  // namespace penstock::core
