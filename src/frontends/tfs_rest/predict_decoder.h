// SPDX-License-Identifier: Apache-2.0
// The body of a :predict call -> InferRequest. No I/O, so it can be fuzzed.
#pragma once

#include <cstdint>

#include "base/buffer.h"
#include "base/request_memory.h"
#include "base/status.h"
#include "infer/request.h"
#include "infer/signature.h"

namespace penstock::tfs_rest {

struct DecoderOptions {
  // Levels of lists and objects in a body.
  int depth_max = 100;
  // Bytes of all tensors of one request, as they lie in memory, where no RequestMemory is given.
  uint64_t tensor_bytes_max = kDecodedTensorBytesMax;
  // Inputs of a request to a model that takes any.
  size_t inputs_max = 1000;
};

// Which of the two forms a request has; the answer has the same.
enum class PredictFormat {
  kRow,     // "instances": a list of rows; answered by "predictions"
  kColumn,  // "inputs": whole tensors; answered by "outputs"
};

// The input's name where the model takes any and the request gives none.
inline constexpr std::string_view kUnnamedInput = "inputs";

// Fills the signature name and the inputs of `request`, which keep what they need of `body` alive.
// `info` must outlive `request`. kBufferSlack bytes behind the body are readable. Errors:
// INVALID_ARGUMENT (not JSON, not the form, not the signature's names, types or number of inputs;
// no such signature), UNIMPLEMENTED (types that JSON has no form for), RESOURCE_EXHAUSTED
// (`memory` does not have it). Bytes behind the object are ignored, as are keys that mean nothing
// here.
StatusOr<PredictFormat> DecodePredictRequest(const Slice& body, const ModelInfo& info,
                                             const DecoderOptions& options, RequestMemory& memory,
                                             InferRequest& request);
// The same, with the memory that `options` says.
StatusOr<PredictFormat> DecodePredictRequest(const Slice& body, const ModelInfo& info,
                                             const DecoderOptions& options, InferRequest& request);

}  // namespace penstock::tfs_rest
