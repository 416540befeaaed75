// SPDX-License-Identifier: Apache-2.0
// The graph of an ensemble as its configuration declares it: which models it runs, and which
// tensors pass between them.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/status.h"
#include "core/servable.h"

namespace penstock::ensemble {

// More steps would be a mistake: each one costs every request.
inline constexpr size_t kStepsMax = 100;
// How deep ensembles may be nested. Their steps run on one stack.
inline constexpr size_t kDepthMax = 4;

// The model and version that a step runs.
struct StepModel {
  std::string name;
  std::optional<core::VersionNumber> version = std::nullopt;  // at most one of version and label;
  std::string label = {};                                     // none: the newest ready version
  bool operator==(const StepModel&) const = default;
  // As "ranker", "ranker version 3" or "ranker label stable".
  std::string ToString() const;
};

// A name that the model of a step uses, and the tensor of the ensemble that stands for it.
struct Mapping {
  std::string name;
  std::string tensor;
  bool operator==(const Mapping&) const = default;
};

// One run of a model.
struct Step {
  std::string name;  // unique in the graph
  StepModel model;
  std::string signature = {};        // empty: the default one
  std::vector<Mapping> inputs = {};  // sorted by name, as outputs
  std::vector<Mapping> outputs = {};
  bool operator==(const Step&) const = default;
};

// One version of an ensemble. Plain data.
struct Graph {
  core::VersionNumber version{1};
  std::vector<std::string> inputs = {};   // the tensors that a request sends
  std::vector<std::string> outputs = {};  // the tensors that the answer has
  std::vector<Step> steps = {};
  bool operator==(const Graph&) const = default;
};

// Checks what can be checked without the models. Each tensor must have one origin: an input or a
// step. Each step, and each input, must serve an output. There must be no cycle.
// Errors: INVALID_ARGUMENT, with the way to the fault, as "step 'a', input 'x': ...".
Status CheckGraph(const Graph& graph);

// The positions of the steps in an order in which each comes after those that it needs.
// REQUIRES: CheckGraph is OK.
std::vector<uint32_t> OrderOf(const Graph& graph);

// The models of the steps, each once.
std::vector<StepModel> ModelsOf(const Graph& graph);

// A number that changes with the graph.
uint64_t RevisionOf(const Graph& graph);

}  // namespace penstock::ensemble
