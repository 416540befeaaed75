// SPDX-License-Identifier: Apache-2.0
#include "penstock_client/errors.h"

#include <utility>

#include "throw_server_error.h"

namespace penstock_client {

ServerError::ServerError(int64_t status, std::string text,
                         std::optional<std::chrono::seconds> retry_after)
    : Error(std::to_string(status) + ": " + text),
      status_(status),
      text_(std::move(text)),
      retry_after_(retry_after) {}

void ThrowServerError(int64_t status, std::string text,
                      std::optional<std::chrono::seconds> retry_after) {
  switch (status) {
    case 400:
      throw BadRequest(status, std::move(text), retry_after);
    case 401:
      throw Unauthorized(status, std::move(text), retry_after);
    case 403:
      throw Forbidden(status, std::move(text), retry_after);
    case 404:
      throw NotFound(status, std::move(text), retry_after);
    case 413:
      throw TooLarge(status, std::move(text), retry_after);
    case 503:
      throw Unavailable(status, std::move(text), retry_after);
    default:
      throw ServerError(status, std::move(text), retry_after);
  }
}

}  // namespace penstock_client
