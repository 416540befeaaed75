// SPDX-License-Identifier: Apache-2.0
// What an HTTP status means for a gRPC call.
#pragma once

#include "base/status.h"

namespace penstock {

// The code of an answer that has an HTTP status other than 200 and no grpc-status. See
// doc/http-grpc-status-mapping.md of gRPC.
inline StatusCode CodeOfHttpStatus(int http_status) {
  switch (http_status) {
    case 400:
      return StatusCode::kInternal;
    case 401:
      return StatusCode::kUnauthenticated;
    case 403:
      return StatusCode::kPermissionDenied;
    case 404:
      return StatusCode::kUnimplemented;
    case 429:
    case 502:
    case 503:
    case 504:
      return StatusCode::kUnavailable;
    default:
      return StatusCode::kUnknown;
  }
}

}  // namespace penstock
