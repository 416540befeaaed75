// SPDX-License-Identifier: Apache-2.0
// InferResponse -> PredictResponse, straight into the bytes to be sent. Sizes are computed first,
// so that all small parts share one buffer; the elements of big tensors are sent from where they
// lie.
#pragma once

#include <span>
#include <string_view>

#include "base/buffer.h"
#include "base/request_memory.h"
#include "base/status.h"
#include "core/servable.h"
#include "infer/request.h"
#include "protocols/tfs/tensor_writer.h"

namespace penstock::tfs {

// The ModelSpec of an answer.
struct AnsweringModel {
  std::string_view name;
  core::VersionNumber version;
  std::string_view signature_name;
};

// `memory`: where it takes the copied part from, or null. Errors: INTERNAL if an output's type has
// no wire form; RESOURCE_EXHAUSTED if the answer would exceed what a protobuf message may hold
// (2 GiB), or what `memory` has.
StatusOr<ByteChain> WritePredictResponse(std::span<const NamedTensor> outputs,
                                         const AnsweringModel& model,
                                         const TensorWriteOptions& options = {},
                                         RequestMemory* memory = nullptr);

}  // namespace penstock::tfs
