// SPDX-License-Identifier: Apache-2.0
// A run that is waited for.
#pragma once

#include "base/status.h"
#include "infer/model.h"

namespace penstock {

// Checks the request against the model's signature, runs it, and waits for the last part of the
// answer, which is dropped. Blocks: for load threads, never for an event loop. Errors: as
// CheckRequest, and the model's own.
Status RunAndWait(Model& model, const InferRequest& request);

}  // namespace penstock
