// SPDX-License-Identifier: Apache-2.0
#include "app/model_loader.h"

#include "infer/engine.h"

namespace penstock {

StatusOr<uint64_t> HostedLoader::EstimateResources() {
  return host_.EstimateBytes(version_path_, options_);
}

StatusOr<std::unique_ptr<core::Servable>> HostedLoader::Load() {
  ASSIGN_OR_RETURN(std::unique_ptr<Model> model, host_.Load(version_path_, options_));
  return MakeServedModel(id_, std::move(model), metrics_, inline_options_);
}

}  // namespace penstock
