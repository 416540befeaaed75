// SPDX-License-Identifier: Apache-2.0
// What libraries that are linked in write of their own.
#pragma once

namespace penstock {

// Has libprotobuf's messages written as lines of the log, in its format and from its level on. Call
// it before other threads start.
void TakeLibraryLogs();

}  // namespace penstock
