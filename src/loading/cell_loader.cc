// SPDX-License-Identifier: Apache-2.0
#include "loading/cell_loader.h"

#include "cells/cell_model.h"
#include "infer/served_model.h"

namespace penstock {

StatusOr<std::unique_ptr<core::Servable>> CellLoader::Load() {
  ASSIGN_OR_RETURN(std::unique_ptr<core::Servable> servable, loader().Load());
  // All loaders return what MakeServedModel makes, so the cast is safe.
  auto& model = static_cast<ServedModel&>(*servable);
  schedule::Scheduler& scheduler = engine_.scheduler();
  cells::CellModelOptions options{
      .id = id_,
      .settings = settings_,
      .executor = scheduler.StepsQueueOf(id_.name, model.info().traits.may_block),
      .request_budget = engine_.request_budget(),
      .clock = engine_.clock()};
  options.settings.runs = scheduler.slots();
  if (Status status = cells::CellModel::Check(model.info(), settings_); !status.ok())
    return InvalidArgument("the model '{}' {}", id_.name, MessageOf(status));
  model.WrapModel([&](std::unique_ptr<Model> cell) {
    return std::make_unique<cells::CellModel>(std::move(cell), std::move(options), metrics_);
  });
  return servable;
}

}  // namespace penstock
