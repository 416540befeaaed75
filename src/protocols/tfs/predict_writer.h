// SPDX-License-Identifier: Apache-2.0
// Converts an InferResponse to the bytes of a PredictResponse, and the inputs of a request to those
// of a PredictRequest. Computes all sizes first, so that all small parts share one buffer. The
// elements of big tensors are sent from their own memory, without a copy. So the answer keeps the
// outputs' buffers alive until it is sent.
#pragma once

#include <span>

#include "base/buffer.h"
#include "base/request_memory.h"
#include "base/status.h"
#include "infer/request.h"
#include "protocols/tfs/model_spec_writer.h"
#include "protocols/tfs/tensor_writer.h"

namespace penstock::tfs {

// Writes one map entry for each output, in their order, and the ModelSpec. `memory` provides the
// buffer for the small parts, and may be null: then nothing counts it. Errors: INTERNAL if an
// output's type has no wire form; RESOURCE_EXHAUSTED if the answer would exceed protobuf's limit of
// 2 GiB, or `memory`.
StatusOr<ByteChain> WritePredictResponse(std::span<const NamedTensor> outputs,
                                         const ModelSpecFields& model,
                                         const TensorWriteOptions& options = {},
                                         RequestMemory* memory = nullptr);

// Writes the PredictRequest that asks for the same with the ModelSpec `model`. Errors as above.
StatusOr<ByteChain> WritePredictRequest(std::span<const NamedTensor> inputs,
                                        const ModelSpecFields& model,
                                        std::span<const std::string_view> output_filter = {},
                                        const TensorWriteOptions& options = {},
                                        RequestMemory* memory = nullptr);

}  // namespace penstock::tfs
