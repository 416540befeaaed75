// SPDX-License-Identifier: Apache-2.0
// Loads a version of an ensemble.
#pragma once

#include <memory>
#include <utility>

#include "base/metrics/metrics.h"
#include "core/loader.h"
#include "core/manager.h"
#include "ensemble/graph.h"
#include "infer/engine.h"
#include "infer/run_times.h"

namespace penstock::ensemble {

// Makes the plan with the versions of the models that are ready. Reads no files, and loads no other
// model: its source waits until they are ready. One thread at a time. The references must outlive
// it and the loaded version.
class EnsembleLoader final : public core::Loader {
 public:
  EnsembleLoader(core::ServableId id, Graph graph, core::Manager& manager, Engine& engine,
                 MetricsRegistry& metrics, InlineOptions inline_options)
      : id_(std::move(id)),
        graph_(std::move(graph)),
        manager_(manager),
        engine_(engine),
        metrics_(metrics),
        inline_options_(inline_options) {}

  // Errors: UNAVAILABLE if a model is not ready, and those of MakePlan.
  StatusOr<std::unique_ptr<core::Servable>> Load() override;

 private:
  const core::ServableId id_;
  const Graph graph_;
  core::Manager& manager_;
  Engine& engine_;
  MetricsRegistry& metrics_;
  const InlineOptions inline_options_;
};

}  // namespace penstock::ensemble
