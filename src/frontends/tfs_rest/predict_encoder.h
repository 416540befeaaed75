// SPDX-License-Identifier: Apache-2.0
// Output tensors -> the body of a :predict answer. No I/O.
#pragma once

#include "base/buffer.h"
#include "base/request_memory.h"
#include "base/status.h"
#include "frontends/tfs_rest/predict_decoder.h"
#include "infer/request.h"

namespace penstock::tfs_rest {

// {"predictions": [...]} for rows, {"outputs": ...} for columns; one output stands alone, several
// are objects by name. Errors: INVALID_ARGUMENT (rows: an output without a first dimension, or of
// another size than the others'; a string that is not UTF-8 in an output whose name does not end in
// "_bytes"), and a type that JSON has no form for; RESOURCE_EXHAUSTED: `memory`, where the text's
// blocks come from unless it is null, does not have it.
StatusOr<ByteChain> EncodePredictResponse(PredictFormat format, const NamedTensors& outputs,
                                          RequestMemory* memory = nullptr);

}  // namespace penstock::tfs_rest
