// SPDX-License-Identifier: Apache-2.0
// Encodes output tensors as the body of a :predict answer. It does no I/O.
#pragma once

#include "base/buffer.h"
#include "base/request_memory.h"
#include "base/status.h"
#include "infer/request.h"
#include "protocols/tfs_json/predict_decoder.h"

namespace penstock::tfs_json {

// The body is {"predictions": [...]} for rows and {"outputs": ...} for columns. A single output has
// no name; several are objects by name. `memory` provides the text's blocks, and may be null.
// Errors: INVALID_ARGUMENT (for rows: an output without a first dimension, or with another size
// than the others; a string that is not UTF-8 in an output whose name does not end in "_bytes"; a
// type that JSON cannot represent). RESOURCE_EXHAUSTED: `memory` is used up.
StatusOr<ByteChain> EncodePredictResponse(PredictFormat format, const NamedTensors& outputs,
                                          RequestMemory* memory = nullptr);

}  // namespace penstock::tfs_json
