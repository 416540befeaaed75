// SPDX-License-Identifier: Apache-2.0
// How a model is a cell of a recurrent network, as it is configured.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace penstock::cells {

inline constexpr int64_t kStepsMax = 10'000;
inline constexpr int64_t kStepsLimit = 1'000'000;  // the largest value of steps_max
inline constexpr int64_t kSequencesMax = 10'000;
inline constexpr int64_t kSequencesLimit = 10'000'000;  // the largest value of sequences_max

// A state: what one step gives to the next one of the same sequence. Plain data.
struct CellState {
  std::string input;   // takes it
  std::string output;  // gives it
  // The answer has it of every step, and not only of the last one.
  bool each_step = false;

  bool operator==(const CellState&) const = default;
};

// The settings of one model. Plain data.
struct CellSettings {
  std::string signature;            // empty: the default one
  std::vector<std::string> inputs;  // of which a step gets one element of the sequence
  std::vector<CellState> states;    // at least one
  std::string stop = {};            // an output that ends a sequence when it is true; empty: none
  std::string lengths_input = "lengths";
  std::string steps_output = "steps";     // only with `stop`
  int64_t steps_max = kStepsMax;          // of one sequence
  int64_t sequences_max = kSequencesMax;  // under way at the same time
  int64_t rows_max = 0;                   // of a run: sequences whose steps run together
  uint32_t runs = 1;                      // at the same time

  bool operator==(const CellSettings&) const = default;
};

}  // namespace penstock::cells
