// SPDX-License-Identifier: Apache-2.0
// The assignment of a request to an arm of an experiment, and its copies for the shadows.
#pragma once

#include <cstddef>
#include <optional>
#include <string_view>

#include "base/clock.h"
#include "core/manager.h"
#include "infer/experiments.h"
#include "infer/request.h"

namespace penstock {

// The assignment of one request. A ModelHandle has one if its model has an experiment. One thread
// at a time.
struct Trial {
  // Chooses the arm for a request at the hash position `place`, and returns that arm's version. If
  // no arm is ready, returns the version, or the error, that the request would get without a split.
  // The model of an arm may be a model on demand: then it begins to load, but nobody waits for it.
  StatusOr<core::Handle> Choose(core::Manager& manager, uint64_t place, const Clock& clock);

  ExperimentRef experiment;
  std::optional<size_t> arm;  // nullopt: there is no split, or no arm is ready
  bool is_undecided = false;  // the sticky key is an input that is not decoded yet
  core::Handle described_by;  // the version whose signature decoded the inputs; empty: the same one
};

// The hash position of a request whose sticky key is the first element of `input`. Random if
// `input` is empty.
uint64_t PlaceOf(std::string_view model, const Tensor& input);

// Wraps `done` so that the outcome is recorded for the arm before the last part.
ResponseCallback MeasureArm(const Trial& trial, ResponseCallback done, const Clock& clock);

// Gives copies of the request to the shadows that select it, and returns at once. The copies share
// the tensors. They keep `main`, and the version whose signature decoded the request, loaded.
// `experiments` must outlive the copies.
void StartShadows(const Trial& trial, const InferRequest& request, const core::Handle& main,
                  core::Manager& manager, const Experiments& experiments, const Clock& clock);

}  // namespace penstock
