// SPDX-License-Identifier: Apache-2.0
// Which tensors of a cell are what, and what the model of whole sequences looks like.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/status.h"
#include "cells/cell_settings.h"
#include "infer/signature.h"
#include "tensor/tensor.h"

namespace penstock::cells {

// What a step puts into an input of the cell, for each row.
enum class InputRole : uint8_t {
  kStep,      // the element of the sequence
  kState,     // what the step before gave
  kConstant,  // the same in every step of the sequence
};

// An input of the cell. Plain data.
struct CellInput {
  const TensorSpec* spec = nullptr;  // of the cell
  InputRole role = InputRole::kConstant;
  uint32_t state = 0;  // of kState
};

// An output of the cell. Plain data.
struct CellOutput {
  const TensorSpec* spec = nullptr;  // of the cell
  bool is_stop = false;
  int state = -1;          // the state that it is; -1: none
  bool each_step = false;  // the answer has it of every step
};

// A state. Plain data.
struct PlannedState {
  uint32_t input = 0;   // its place in CellPlan::inputs
  uint32_t output = 0;  // and in CellPlan::outputs
  Tensor start = {};    // one row of zeros; none if the request has to have the state
};

// Made when a version is loaded. Immutable after that.
struct CellPlan {
  // Errors: INVALID_ARGUMENT, if the model is no such cell; the message continues a sentence that
  // starts with the model's name. `cell` must outlive the plan.
  static StatusOr<CellPlan> Make(const ModelInfo& cell, const CellSettings& settings);

  const Signature* signature = nullptr;  // of the cell
  std::vector<CellInput> inputs;         // in the order of the signature
  std::vector<CellOutput> outputs;
  std::vector<PlannedState> states;
  bool has_steps = false;  // at least one input is kStep
  bool has_stop = false;
  // Requests may differ in the shapes of their rows, or in the inputs that they have.
  bool rows_differ = false;
  std::string lengths_input;
  std::string steps_output;
  ModelInfo info;  // of the model of sequences
};

}  // namespace penstock::cells
