// SPDX-License-Identifier: Apache-2.0
// Which sequences make their next step together. Pure: it has no clock, no lock and no thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "tensor/shape.h"

namespace penstock::cells {

// The shapes of the inputs of a request, without rows and steps; [-1] for one that is left out.
// Sequences run together only if theirs are equal.
using RowShapes = std::vector<Shape>;

// What the order needs to know of a sequence. Plain data.
struct WaitingStep {
  SteadyTime deadline = kNoDeadline;
  int64_t steps_left = 1;
  const RowShapes* shapes = nullptr;  // null: all sequences have the same
  bool alone = false;                 // its step runs without others
};

// The sequences that wait for their next step. Those that have waited longest go first, so each
// makes its steps as fast as the others, however long it is. Those that would miss their deadlines
// at this pace go before them, but take at most half of the rows of a run: so the others go on,
// too. One thread at a time.
class StepOrder final {
 public:
  // The sequence must stay until Pick gives it.
  void Add(WaitingStep& step) { waiting_.push_back(&step); }
  // Takes out those whose steps run together now, at most `rows_max`, in the order in which they
  // were added. `pace` is how long a sequence takes for a step now; 0: unknown.
  void Pick(size_t rows_max, SteadyTime now, Duration pace, std::vector<WaitingStep*>& picked);

  std::vector<WaitingStep*> TakeAll() { return std::exchange(waiting_, {}); }

  bool empty() const { return waiting_.empty(); }
  size_t size() const { return waiting_.size(); }

 private:
  std::vector<WaitingStep*> waiting_;  // the one that has waited longest first
};

}  // namespace penstock::cells
