// SPDX-License-Identifier: Apache-2.0
// Decodes the body of a :predict call to an InferRequest. It does no I/O, so it can be fuzzed.
#pragma once

#include <cstdint>

#include "base/buffer.h"
#include "base/request_memory.h"
#include "base/status.h"
#include "infer/request.h"
#include "infer/signature.h"

namespace penstock::tfs_json {

// The limits for what one body may cost. JSON can ask for much memory with few bytes, by deep
// nesting or by many small lists.
struct DecoderOptions {
  // The nesting limit of lists and objects in a body.
  int depth_max = 100;
  // The limit for the bytes of all tensors of one request in memory, if no RequestMemory is given.
  uint64_t tensor_bytes_max = kDecodedTensorBytesMax;
  // The most inputs in a request to a model that accepts any.
  size_t inputs_max = 1000;
};

// The form of a request ("Encoding tensors" in TensorFlow Serving's REST API). The answer has the
// same form.
enum class PredictFormat {
  kRow,     // "instances": a list of rows; answered by "predictions"
  kColumn,  // "inputs": whole tensors; answered by "outputs"
};

// Fills in the signature name and the inputs of `request`; the inputs keep the body alive if they
// need it. `info` must outlive `request`. kBufferSlack bytes after the body must be readable.
// Errors: INVALID_ARGUMENT (not JSON, not the form, not the signature's names, types or number of
// inputs; no such signature), UNIMPLEMENTED (types that JSON has no form for), RESOURCE_EXHAUSTED
// (`memory` is used up). Ignores bytes after the object, and unknown keys.
StatusOr<PredictFormat> DecodePredictRequest(const Slice& body, const ModelInfo& info,
                                             const DecoderOptions& options, RequestMemory& memory,
                                             InferRequest& request);
// Does the same with a new RequestMemory, whose limit is in `options`.
StatusOr<PredictFormat> DecodePredictRequest(const Slice& body, const ModelInfo& info,
                                             const DecoderOptions& options, InferRequest& request);

}  // namespace penstock::tfs_json
