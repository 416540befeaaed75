// SPDX-License-Identifier: Apache-2.0
// The formats of the bodies of :predict, and how a client chooses them.
#pragma once

#include <string_view>

namespace penstock::tfs_rest {

// The format of a body of :predict. The request and the answer may have different ones.
enum class BodyFormat {
  kJson,
  kProtobuf,  // PredictRequest and PredictResponse
  kNpy,       // one tensor
  kNpz,       // tensors by name
};

// The format of a request with this Content-Type. TensorFlow Serving ignores this header, so
// everything but the names of the other formats means JSON.
BodyFormat BodyFormatOf(std::string_view content_type);

// The format of the answer to a request of the format `request` with this Accept header. A client
// that does not care, or that accepts none of the formats, gets the format of its request.
BodyFormat AnswerFormatFor(std::string_view accept, BodyFormat request);

// True if a client with this Accept header wants server-sent events: it names text/event-stream,
// and prefers no other format that it names.
bool WantsEvents(std::string_view accept);

// The Content-Type of a body.
std::string_view ContentTypeOf(BodyFormat format);

}  // namespace penstock::tfs_rest
