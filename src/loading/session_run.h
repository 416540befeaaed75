// SPDX-License-Identifier: Apache-2.0
// Reads a recorded SessionRunRequest: a run by the names of the graph's tensors.
#pragma once

#include "base/buffer.h"
#include "base/request_memory.h"
#include "base/status.h"
#include "infer/request.h"
#include "infer/signature.h"

namespace penstock {

// Converts the SessionRunRequest `message` to a request for the first signature that has all the
// tensors that it feeds as inputs, and all that it fetches as outputs. `info` must outlive
// `request`, and the tensors keep `message` alive. Errors: INVALID_ARGUMENT for malformed bytes or
// tensors; UNIMPLEMENTED if no signature has these tensors, or if the request runs operations
// without fetching them; RESOURCE_EXHAUSTED.
Status ReadSessionRun(const Slice& message, const ModelInfo& info, RequestMemory& memory,
                      InferRequest& request);

}  // namespace penstock
