// SPDX-License-Identifier: Apache-2.0
// Writes the answers of an HTTP/1.1 connection.
#pragma once

#include <string_view>

#include "base/buffer.h"
#include "net/http/call.h"
#include "net/loop/output_arena.h"

namespace penstock::net {

// What the answer says about the connection.
struct Http1AnswerOptions {
  bool keeps_connection = true;  // the connection stays open for another request
  bool is_http10 = false;        // the client speaks HTTP/1.0
};

// Appends the answer of `call` to `out`, or its head if its body comes in parts. The call must be
// answered.
void WriteHttp1Answer(HttpCallImpl& call, const Http1AnswerOptions& options, OutputArena& arena,
                      ByteChain& out);
// Appends one chunk of a body in parts to `out`. `part` is not empty.
void WriteHttp1Chunk(ByteChain&& part, OutputArena& arena, ByteChain& out);
inline constexpr std::string_view kHttp1LastChunk = "0\r\n\r\n";

}  // namespace penstock::net
