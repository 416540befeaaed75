// SPDX-License-Identifier: Apache-2.0
// Writes the answers of an HTTP/1.1 connection.
#pragma once

#include "base/buffer.h"
#include "net/http/call.h"
#include "net/loop/output_arena.h"

namespace penstock::net {

// What the answer says about the connection.
struct Http1AnswerOptions {
  bool keeps_connection = true;  // the connection stays open for another request
  bool is_http10 = false;        // the client speaks HTTP/1.0
};

// Appends the answer of `call` to `out`. The call must be answered.
void WriteHttp1Answer(HttpCallImpl& call, const Http1AnswerOptions& options, OutputArena& arena,
                      ByteChain& out);

}  // namespace penstock::net
