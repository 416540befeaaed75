// SPDX-License-Identifier: Apache-2.0
// Writes ClassificationResponse, RegressionResponse and MultiInferenceResponse.
#pragma once

#include <span>

#include "base/buffer.h"
#include "base/request_memory.h"
#include "base/status.h"
#include "protocols/tfs/example_result.h"
#include "protocols/tfs/model_spec_writer.h"

namespace penstock::tfs {

// The result of one task, and the model that gave it.
struct TaskResult {
  ExampleResult result;
  ModelSpecFields model;
};

// Writes a ClassificationResponse or a RegressionResponse, by the kind of the result, as one buffer
// from `memory`. The answer does not refer to the outputs. Errors: INVALID_ARGUMENT if a label is
// not UTF-8, RESOURCE_EXHAUSTED if `memory` is used up or the answer has 2 GiB or more.
StatusOr<ByteChain> WriteResultResponse(const TaskResult& result, RequestMemory& memory);

// Writes a MultiInferenceResponse, with the results in the order of the tasks. Errors as above.
StatusOr<ByteChain> WriteMultiInferenceResponse(std::span<const TaskResult> results,
                                                RequestMemory& memory);

}  // namespace penstock::tfs
