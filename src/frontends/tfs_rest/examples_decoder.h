// SPDX-License-Identifier: Apache-2.0
// Reads the body of a :classify or :regress call.
#pragma once

#include "base/buffer.h"
#include "base/request_memory.h"
#include "base/status.h"
#include "protocols/tfs_json/predict_decoder.h"

namespace penstock::tfs_rest {

// Returns the same request as the bytes of a ClassificationRequest, which is also a
// RegressionRequest. Its ModelSpec has only the signature's name. So Examples take one path, and a
// model that parses Examples itself gets them as it wants them. kBufferSlack bytes after the body
// must be readable. Errors: INVALID_ARGUMENT, with TensorFlow Serving's texts and the position in
// the body; RESOURCE_EXHAUSTED.
StatusOr<Slice> DecodeExamples(const Slice& body, const tfs_json::DecoderOptions& options,
                               RequestMemory& memory);

}  // namespace penstock::tfs_rest
