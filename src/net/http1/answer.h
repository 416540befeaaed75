// SPDX-License-Identifier: Apache-2.0
// Writes the answers of an HTTP/1.1 connection.
#pragma once

#include <string_view>

#include "base/buffer.h"
#include "net/http/call.h"
#include "net/loop/output_arena.h"

namespace penstock::net {

// The facts about the connection that the answer states.
struct Http1AnswerOptions {
  bool keeps_connection = true;  // the connection stays open for another request
  bool is_http10 = false;        // the client speaks HTTP/1.0
};

// Appends the answer of `call` to `out`, or its head if its body comes in parts. Takes the body out
// of the call. A body of up to 4 KiB is copied behind its head, so that both are one slice; a
// larger one is appended as references. Drops fields with a line break, by which a value could
// forge an answer. REQUIRES: the call is answered.
void WriteHttp1Answer(HttpCallImpl& call, const Http1AnswerOptions& options, OutputArena& arena,
                      ByteChain& out);
// Appends one chunk of a body in parts to `out` (RFC 9112, section 7.1). `part` is not empty, since
// an empty chunk would end the body.
void WriteHttp1Chunk(ByteChain&& part, OutputArena& arena, ByteChain& out);
// Ends such a body. There are no trailers.
inline constexpr std::string_view kHttp1LastChunk = "0\r\n\r\n";

}  // namespace penstock::net
