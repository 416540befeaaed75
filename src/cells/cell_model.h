// SPDX-License-Identifier: Apache-2.0
// A model of whole sequences over a model of one step.
#pragma once

#include <cstdint>
#include <memory>
#include <utility>

#include "base/clock.h"
#include "base/executor.h"
#include "base/metrics/metrics.h"
#include "base/request_memory.h"
#include "base/status.h"
#include "cells/cell_plan.h"
#include "cells/cell_settings.h"
#include "core/servable.h"
#include "infer/model.h"

namespace penstock::cells {

// What a CellModel needs besides the model of a step.
struct CellModelOptions {
  core::ServableId id;
  CellSettings settings;
  // Runs the steps. Shared, because a step that finds nothing to do may start after the model is
  // gone.
  std::shared_ptr<Executor> executor;
  RequestBudget request_budget = {};  // the memory of all answers together; null: unlimited
  // Of one answer: a short request may ask for many steps.
  uint64_t answer_bytes_max = kDecodedTensorBytesMax;
  const Clock& clock = Clock::Real();
};

// Runs the steps of all sequences under way together: a run takes those that wait for their next
// step, new ones among them, and each leaves when it has ended. So a short sequence does not wait
// for a long one, and no row is added to make them equal.
//
// It is cellular batching: Gao, Yu, Wu, Li, "Low latency RNN inference with cellular batching",
// EuroSys 2018. The states are rows of the answer to the last step. While the same sequences go on
// together, the next step takes that answer as it is; else their rows are copied together.
//
// If a step fails, each of its sequences tries it alone, so that only the one that is at fault
// fails. A cancelled or late request ends at its next step. Thread-safe.
class CellModel final : public Model {
 public:
  // Errors: those of CellPlan::Make.
  static Status Check(const ModelInfo& cell, const CellSettings& settings);

  // REQUIRES: Check accepts the settings. `metrics` must outlive it.
  CellModel(std::unique_ptr<Model> cell, CellModelOptions options, MetricsRegistry& metrics);
  ~CellModel() override;

  const ModelInfo& info() const override;
  // Errors: INVALID_ARGUMENT, if the inputs differ in rows or steps, a length does not fit, or the
  // request has more sequences than there may ever be;
  // UNAVAILABLE, if too many sequences are under way; those of the cell.
  void Run(const InferRequest& request, ResponseCallback done) override;
  void SetBrokenCallback(core::BrokenCallback callback) override;

 private:
  class Steps;

  const std::unique_ptr<Model> cell_;
  MetricSeries series_;
  std::shared_ptr<Steps> steps_;  // shared with the tasks that run steps; fixed
};

}  // namespace penstock::cells
