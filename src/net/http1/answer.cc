// SPDX-License-Identifier: Apache-2.0
// The head of an answer and a small body are written into one block (OutputArena). So the usual
// answer is one piece for the kernel, and no allocation. A big body follows as references to the
// memory that the front end has filled.
#include "net/http1/answer.h"

#include <charconv>

#include "net/http1/status.h"

namespace penstock::net {
namespace {

// Bodies up to this size are copied behind their head, so that both are sent in one piece.
constexpr size_t kCopiedBodyBytesMax = 4096;

}  // namespace

void WriteHttp1Answer(HttpCallImpl& call, const Http1AnswerOptions& options, OutputArena& arena,
                      ByteChain& out) {
  const int status = call.status();
  arena.Begin();
  arena.Append(StatusLine(status));
  call.ForEachHeader([&](std::string_view name, std::string_view value) {
    arena.Append(name);
    arena.Append(": ");
    arena.Append(value);
    arena.Append("\r\n");
  });
  // Answers with these status codes never have a body (RFC 9110, section 6.4.1). 204 must not even
  // have a content-length.
  const bool has_body = status >= 200 && status != 204 && status != 304;
  if (call.is_in_parts()) {
    // HTTP/1.0 has no chunks. There the end of the connection is the end of the body.
    if (!options.is_http10) arena.Append("transfer-encoding: chunked\r\n");
  } else if (has_body) {
    char digits[24];
    const auto end = std::to_chars(digits, digits + sizeof digits, call.body_bytes()).ptr;
    arena.Append("content-length: ");
    arena.Append({digits, static_cast<size_t>(end - digits)});
    arena.Append("\r\n");
  }
  if (!options.keeps_connection) arena.Append("connection: close\r\n");
  if (options.keeps_connection && options.is_http10) arena.Append("connection: keep-alive\r\n");
  arena.Append("\r\n");
  ByteChain body = call.TakeBody();
  const bool is_copied = has_body && body.bytes() <= kCopiedBodyBytesMax;
  if (is_copied)
    for (const Slice& slice : body.slices()) arena.Append(slice.view());
  out.Append(arena.End());
  if (has_body && !is_copied) out.Append(std::move(body));
}

void WriteHttp1Chunk(ByteChain&& part, OutputArena& arena, ByteChain& out) {
  char digits[16];
  const auto end = std::to_chars(digits, digits + sizeof digits, part.bytes(), 16).ptr;
  arena.Begin();
  arena.Append({digits, static_cast<size_t>(end - digits)});
  arena.Append("\r\n");
  const bool is_copied = part.bytes() <= kCopiedBodyBytesMax;
  if (is_copied) {
    for (const Slice& slice : part.slices()) arena.Append(slice.view());
  } else {
    out.Append(arena.End());
    out.Append(std::move(part));
    arena.Begin();
  }
  arena.Append("\r\n");
  out.Append(arena.End());
}

}  // namespace penstock::net
