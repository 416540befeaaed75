// SPDX-License-Identifier: Apache-2.0
#include "cells/step_order.h"

#include <algorithm>

namespace penstock::cells {
namespace {

bool CanJoin(const WaitingStep& a, const WaitingStep& b) {
  return !b.alone && (a.shapes == b.shapes || *a.shapes == *b.shapes);
}

// True if the sequence misses its deadline unless it goes before others.
bool IsUrgent(const WaitingStep& step, SteadyTime now, Duration pace) {
  return step.deadline != kNoDeadline && step.deadline - now <= pace * step.steps_left;
}

}  // namespace

void StepOrder::Pick(size_t rows_max, SteadyTime now, Duration pace,
                     std::vector<WaitingStep*>& picked) {
  picked.clear();
  if (waiting_.empty()) return;
  const WaitingStep& first = *waiting_.front();
  if (first.alone) rows_max = 1;
  std::vector<WaitingStep*> urgent;
  if (waiting_.size() > rows_max && rows_max > 1) {
    for (WaitingStep* step : waiting_)
      if (step != &first && CanJoin(first, *step) && IsUrgent(*step, now, pace))
        urgent.push_back(step);
    std::ranges::stable_sort(urgent, {}, [](const WaitingStep* step) { return step->deadline; });
    urgent.resize(std::min(urgent.size(), rows_max / 2));
    std::ranges::sort(urgent);
  }
  size_t room = rows_max - urgent.size();  // for those that are not urgent
  size_t kept = 0;
  for (WaitingStep* step : waiting_) {
    const bool goes_first = std::ranges::binary_search(urgent, step);
    const bool joins = goes_first || (room > 0 && (step == &first || CanJoin(first, *step)));
    if (joins) {
      picked.push_back(step);
      room -= goes_first ? 0 : 1;
    } else {
      waiting_[kept++] = step;
    }
  }
  waiting_.resize(kept);
}

}  // namespace penstock::cells
