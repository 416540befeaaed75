// SPDX-License-Identifier: Apache-2.0
// PredictRequest -> InferRequest, straight from the received bytes: what is accepted, and what it
// means, is as in protobuf's own parser, but tensor bytes are viewed and not copied.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "base/buffer.h"
#include "base/status.h"
#include "infer/request.h"
#include "protocols/tfs/tensor_reader.h"

namespace penstock::tfs {

struct PredictReadLimits {
  // What all tensors of a request may take beyond the message.
  uint64_t decoded_tensor_bytes_max = kDecodedTensorBytesMax;
  // Inputs, and entries of the output filter. More would be looked up one by one in vain.
  size_t names_max = 4096;
};

// A PredictRequest that was read. Meant to be reused: reading it anew keeps its memory. Views into
// the message, which `request.names_owner` keeps. One thread at a time.
struct ReadPredict {
  bool has_model_spec = false;
  ModelSelector model;
  InferRequest request;  // signature_name, inputs, output_filter and names_owner are set

  // Lets go of the message.
  void Clear();
};

// Reads `message` into `out`, which is cleared first. Errors: INVALID_ARGUMENT: malformed bytes
// (what, and at which byte), more names than the limit, and for a tensor, TensorFlow Serving's text
// "tensor parsing error: ALIAS" with the reason behind it.
Status ReadPredictRequest(const Slice& message, const PredictReadLimits& limits, ReadPredict& out);

// A net::LandingFunction for PredictRequest: where the elements of the first big tensor begin, or
// 0.
size_t PredictLanding(std::span<const std::byte> prefix, uint64_t body_bytes);

}  // namespace penstock::tfs
