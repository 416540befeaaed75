// SPDX-License-Identifier: Apache-2.0
#include "protocols/tfs/client_status.h"

namespace penstock::tfs {

Status Truncated(Status status) {
  const std::string_view message = MessageOf(status);
  if (message.size() <= kMessageBytesMax) return status;
  size_t end = kMessageBytesMax;
  while (end > 0 && (message[end] & 0xc0) == 0x80) --end;  // do not cut before a continuation byte
  return Error(status.code(), "{}{}", message.substr(0, end), kTruncated);
}

// The mapping is that of TensorFlow Serving, because the retry rules of clients depend on it.
int HttpStatusOf(StatusCode code) {
  switch (code) {
    case StatusCode::kOk:
      return 200;
    case StatusCode::kInvalidArgument:
    case StatusCode::kFailedPrecondition:
    case StatusCode::kOutOfRange:
      return 400;
    case StatusCode::kUnauthenticated:
      return 401;
    case StatusCode::kPermissionDenied:
      return 403;
    case StatusCode::kNotFound:
      return 404;
    case StatusCode::kAlreadyExists:
    case StatusCode::kAborted:
      return 409;
    case StatusCode::kResourceExhausted:
      return 429;
    case StatusCode::kCancelled:
      return 499;
    case StatusCode::kUnimplemented:
      return 501;
    case StatusCode::kUnavailable:
      return 503;
    case StatusCode::kDeadlineExceeded:
      return 504;
    default:
      return 500;
  }
}

Status MissingModelSpec() { return InvalidArgument("Missing ModelSpec"); }
Status MissingModelName() { return InvalidArgument("ModelSpec has no name specified."); }

}  // namespace penstock::tfs
