// SPDX-License-Identifier: Apache-2.0
// Makes a model of whole sequences of a model of one step.
#pragma once

#include <memory>
#include <utility>

#include "base/metrics/metrics.h"
#include "cells/cell_settings.h"
#include "infer/engine.h"
#include "loading/loader_step.h"

namespace penstock {

// Loads through `loader`, and then wraps the model in a CellModel, whose steps have a queue
// of their own. One thread at a time but for Cancel. `loader` must make its servables with
// MakeServedModel.
class CellLoader final : public LoaderStep {
 public:
  // `engine` and `metrics` must outlive it and the loaded version.
  CellLoader(core::ServableId id, cells::CellSettings settings,
             std::unique_ptr<core::Loader> loader, Engine& engine, MetricsRegistry& metrics)
      : LoaderStep(std::move(loader)),
        id_(std::move(id)),
        settings_(std::move(settings)),
        engine_(engine),
        metrics_(metrics) {}

  // Errors: those of the loader; INVALID_ARGUMENT if the model is no such cell.
  StatusOr<std::unique_ptr<core::Servable>> Load() override;

 private:
  const core::ServableId id_;
  const cells::CellSettings settings_;
  Engine& engine_;
  MetricsRegistry& metrics_;
};

}  // namespace penstock
