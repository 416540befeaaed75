// SPDX-License-Identifier: Apache-2.0
#include "net/client/answer.h"

#include <nghttp2/nghttp2.h>

#include <charconv>

#include "base/calls/http_code.h"
#include "net/grpc/wire.h"

namespace penstock::net {

UnaryAnswer AnswerOfReset(uint32_t error_code) {
  const auto code = [error_code] {
    switch (error_code) {
      case NGHTTP2_REFUSED_STREAM:
        return StatusCode::kUnavailable;
      case NGHTTP2_CANCEL:
        return StatusCode::kCancelled;
      case NGHTTP2_ENHANCE_YOUR_CALM:
        return StatusCode::kResourceExhausted;
      case NGHTTP2_INADEQUATE_SECURITY:
        return StatusCode::kPermissionDenied;
      default:
        return StatusCode::kInternal;
    }
  }();
  return {.status = Error(code, "the server has ended the stream with {}",
                          nghttp2_http2_strerror(error_code)),
          .is_unprocessed = error_code == NGHTTP2_REFUSED_STREAM};
}

UnaryAnswer AnswerOfLoss(std::string_view reason, bool is_unprocessed) {
  return {.status = Error(StatusCode::kUnavailable, "{}", reason),
          .is_unprocessed = is_unprocessed};
}

int ParseGrpcStatus(std::string_view text) {
  int code = -1;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), code);
  if (error != std::errc() || end != text.data() + text.size() || code < 0) return -1;
  return code > 16 ? static_cast<int>(StatusCode::kUnknown) : code;
}

UnaryAnswer AnswerOf(const ClientCall& call) {
  if (call.grpc_status > 0)
    return {.status = Status(static_cast<StatusCode>(call.grpc_status),
                             DecodeGrpcMessage(call.grpc_message)),
            .is_from_server = true};
  if (call.http_status != 200)
    return {.status = Error(CodeOfHttpStatus(call.http_status),
                            "the server answers with the HTTP status {}", call.http_status)};
  if (!call.is_grpc)
    return {.status = Error(StatusCode::kUnknown, "the server's answer is not gRPC")};
  if (call.grpc_status < 0)
    return {.status = Error(StatusCode::kInternal, "the server's answer has no grpc-status")};
  if (call.prefix_bytes < kGrpcPrefixBytes || call.received < call.message_bytes)
    return {.status = Error(StatusCode::kInternal,
                            "the server's answer ends before its message is complete")};
  UnaryAnswer answer{.status = OkStatus(), .is_from_server = true};
  if (call.message_bytes > 0)
    answer.message = {call.buffer->data() + call.start, static_cast<size_t>(call.message_bytes),
                      call.buffer};
  return answer;
}

}  // namespace penstock::net
