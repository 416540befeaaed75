// SPDX-License-Identifier: Apache-2.0
// The log output of linked libraries.
#pragma once

namespace penstock {

// Redirects the messages of libprotobuf to the log, with its format. Call it before other threads
// start.
void TakeLibraryLogs();

}  // namespace penstock
