// SPDX-License-Identifier: Apache-2.0
// A built-in model that takes as long as the request asks for, to try out scheduling.
#pragma once

#include <chrono>
#include <memory>

#include "infer/model.h"

namespace penstock {

// Waits so long, but no longer than the answer is wanted. Sets the callback of the request's token.
void WaitWhileWanted(const InferRequest& request, std::chrono::microseconds time);

// Returns a model with the input "delay_us" (int64, any shape): a run takes the sum of its values
// in microseconds, and gives the input back as the output "delay_us". The model counts as one that
// computes, so a run holds a compute slot.
std::unique_ptr<Model> MakeDelayModel();

}  // namespace penstock
