// SPDX-License-Identifier: Apache-2.0
// How an answer is written on an HTTP/1.1 connection.
#pragma once

#include "base/buffer.h"
#include "net/http_call.h"
#include "net/output_arena.h"

namespace penstock::net {

struct Http1AnswerOptions {
  bool keeps_connection = true;  // for another request
  bool is_http10 = false;        // the client
};

// Appends the answer of `call`, which is given, to `out`.
void WriteHttp1Answer(HttpCallImpl& call, const Http1AnswerOptions& options, OutputArena& arena,
                      ByteChain& out);

}  // namespace penstock::net
