// SPDX-License-Identifier: Apache-2.0
// How a graph runs: names become positions, and the types and shapes of its tensors are known from
// the signatures of the models.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "base/status.h"
#include "ensemble/graph.h"
#include "infer/signature.h"

namespace penstock::ensemble {

// A name that a model or a client uses, and the position of its tensor.
struct PlanTensor {
  std::string name;
  uint32_t tensor = 0;
};

// Immutable.
struct PlanStep {
  std::string name;
  uint32_t model = 0;  // its position in Plan::models
  std::string signature;
  std::vector<PlanTensor> inputs;
  std::vector<PlanTensor> outputs;
  bool filters = false;        // the model has more outputs than the ensemble needs
  bool is_always_run = false;  // also if nobody wants its outputs: it changes something
  uint32_t needs = 0;          // how many steps it waits for
  std::vector<uint32_t> next;  // the steps that wait for it
};

// Immutable.
struct Plan {
  ModelInfo info;  // of the ensemble: one signature
  std::vector<StepModel> models;
  std::vector<PlanStep> steps;  // each comes after those that it needs
  uint32_t tensors = 0;         // how many there are
  // What each of them is, for people. Its type is kInvalid if nobody knows it.
  std::vector<TensorSpec> specs;
  std::vector<PlanTensor> inputs;
  std::vector<PlanTensor> outputs;
};

// Makes the plan of a graph whose models, in the order of ModelsOf, are described by `infos`.
// Errors: INVALID_ARGUMENT, with the way to the fault: the graph has a mistake, a model has no such
// signature, input or output, a needed input has no tensor, or the types or shapes of a tensor
// differ between those that make and take it.
StatusOr<Plan> MakePlan(const Graph& graph, std::span<const ModelInfo* const> infos);

// True if clients see the same inputs and outputs.
bool HasSameTensors(const ModelInfo& a, const ModelInfo& b);

}  // namespace penstock::ensemble
