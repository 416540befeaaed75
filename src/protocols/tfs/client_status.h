// SPDX-License-Identifier: Apache-2.0
// Errors in the form that TensorFlow Serving shows to clients, and texts that several calls share.
#pragma once

#include <string_view>

#include "base/status.h"

namespace penstock::tfs {

// Longer messages are cut to this length, and kTruncated is appended.
inline constexpr size_t kMessageBytesMax = 1024;
inline constexpr std::string_view kTruncated = "...TRUNCATED";

// Shortens the message so that it fits in a gRPC trailer. Never cuts within a character of UTF-8.
// The code stays.
Status Truncated(Status status);

// The HTTP status of a code for REST clients. The mapping is TensorFlow Serving's, because the
// retry rules of clients depend on it; gRPC's own table (codes.proto) differs in places.
int HttpStatusOf(StatusCode code);

// INVALID_ARGUMENT with TensorFlow Serving's text. The first is for a request without a ModelSpec,
// the second for a ModelSpec without a name.
Status MissingModelSpec();
Status MissingModelName();

}  // namespace penstock::tfs
