// SPDX-License-Identifier: Apache-2.0
// A run of a model that blocks until the answer is there.
#pragma once

#include "base/status.h"
#include "infer/model.h"

namespace penstock {

// Checks the request against the model's signature, runs it, and waits for the last part. Drops the
// answer. It blocks, so use it on load threads, never on an event loop. Errors: those of
// CheckRequest and of the model.
Status RunAndWait(Model& model, const InferRequest& request);

// As RunAndWait, but returns the outputs. Errors also: UNIMPLEMENTED if the answer has several
// parts. The names of the outputs live as long as the request and the model.
StatusOr<NamedTensors> RunForOutputs(Model& model, const InferRequest& request);

}  // namespace penstock
