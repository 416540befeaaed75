// SPDX-License-Identifier: Apache-2.0
#include "app/model_loader.h"

#include "base/give_way.h"
#include "infer/engine.h"

namespace penstock {

StatusOr<core::ResourceEstimate> HostedLoader::EstimateResources() {
  ASSIGN_OR_RETURN(const uint64_t bytes, host_.EstimateBytes(version_path_, options_));
  return core::ResourceEstimate{.ram_bytes = bytes};
}

StatusOr<std::unique_ptr<core::Servable>> HostedLoader::Load() {
  const GiveWay to_requests;
  ASSIGN_OR_RETURN(std::unique_ptr<Model> model, host_.Load(version_path_, options_));
  return MakeServedModel(id_, std::move(model), metrics_, inline_options_);
}

}  // namespace penstock
