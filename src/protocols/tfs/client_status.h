// SPDX-License-Identifier: Apache-2.0
// How TensorFlow Serving shows errors to clients, and the texts that several calls share.
#pragma once

#include <string_view>

#include "base/status.h"

namespace penstock::tfs {

// Longer messages are cut there, and kTruncated is put behind.
inline constexpr size_t kMessageBytesMax = 1024;
inline constexpr std::string_view kTruncated = "...TRUNCATED";

// `status` with a message that is short enough for a gRPC trailer; never cut within a character.
Status Truncated(Status status);

// The HTTP status that REST clients get for a code.
int HttpStatusOf(StatusCode code);

// INVALID_ARGUMENT with TensorFlow Serving's text.
Status MissingModelSpec();
Status MissingModelName();

}  // namespace penstock::tfs
