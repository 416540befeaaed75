// SPDX-License-Identifier: Apache-2.0
// Decides which tensors of an ONNX graph become tables.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "tables/extract/onnx_graph.h"

namespace penstock::tables {

// A Gather that becomes a look-up.
struct PlannedGather {
  const OnnxNode* node = nullptr;
  const OnnxInput* indices = nullptr;  // the input of the graph that they come from
};

// An initialiser that becomes a table.
struct PlannedTable {
  const OnnxTensor* tensor = nullptr;
  uint64_t bytes = 0;
  std::vector<PlannedGather> gathers;  // at least one; all have indices of one type
};

// An initialiser that is large enough, but stays.
struct PlannedToStay {
  const OnnxTensor* tensor = nullptr;
  uint64_t bytes = 0;
  std::string reason;
};

struct TablePlan {
  std::vector<PlannedTable> tables;
  std::vector<PlannedToStay> kept;
  uint64_t largest_small = 0;  // bytes of the largest tensor that is too small
};

// Pointers of the result point into the graph.
TablePlan PlanTables(const OnnxGraph& graph, uint64_t bytes_min);

// True if a request may or must name it: it is no initialiser that only looks like an input.
bool IsRequestInput(const OnnxGraph& graph, const OnnxInput& input);

}  // namespace penstock::tables
