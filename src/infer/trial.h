// SPDX-License-Identifier: Apache-2.0
// A request's part in an experiment: which arm it has got, and its copies for the shadows.
#pragma once

#include <cstddef>
#include <optional>
#include <string_view>

#include "base/clock.h"
#include "core/manager.h"
#include "infer/experiments.h"
#include "infer/request.h"

namespace penstock {

// What a ModelHandle keeps if its model has an experiment. One thread at a time.
struct Trial {
  // Which arm a request at `place` gets, and that arm's version. If no arm is ready, what the
  // request would get without a split; errors are those of that. An arm whose model is loaded on
  // demand is not waited for, but begins to load.
  StatusOr<core::Handle> Choose(core::Manager& manager, uint64_t place, const Clock& clock);

  ExperimentRef experiment;
  std::optional<size_t> arm;  // none: there is no split, or no arm is ready
  bool is_undecided = false;  // sticks to an input, which is not known yet
  core::Handle described_by;  // the version by whose signature the inputs were read, if another
};

// The place of a request that is known by the first element of `input`; at random if that is empty.
uint64_t PlaceOf(std::string_view model, const Tensor& input);

// `done`, and before its last part the outcome is recorded for the trial's arm.
ResponseCallback MeasureArm(const Trial& trial, ResponseCallback done, const Clock& clock);

// Gives copies of the request, which shares the tensors, to the shadows that want it. Returns at
// once. `main` and what it was read by live as long as the copies. `experiments` outlives them.
void StartShadows(const Trial& trial, const InferRequest& request, const core::Handle& main,
                  core::Manager& manager, const Experiments& experiments, const Clock& clock);

}  // namespace penstock
