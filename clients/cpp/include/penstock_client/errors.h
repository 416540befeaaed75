// SPDX-License-Identifier: Apache-2.0
// What can go wrong with a call. Wrong arguments are std::invalid_argument.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <stdexcept>
#include <string>

namespace penstock_client {

// A call that failed. Immutable, as all classes here.
class Error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// No connection to the server came about. The server has not seen the request.
class ConnectionFailed : public Error {
 public:
  using Error::Error;
};

// The connection ended before the whole answer was there. The server may have run the model.
class ConnectionLost : public Error {
 public:
  using Error::Error;
};

// The time of the call is over.
class TimeoutExpired : public Error {
 public:
  using Error::Error;
};

// The answer is not HTTP, or not a GraphPipe message, or too large, or it has another number of
// outputs than were named.
class ProtocolError : public Error {
 public:
  using Error::Error;
};

// The server refused the call.
class ServerError : public Error {
 public:
  ServerError(int64_t status, std::string text,
              std::optional<std::chrono::seconds> retry_after = std::nullopt);

  // HTTP's, or the code of an error within the message.
  int64_t status() const { return status_; }
  // The server's reason.
  const std::string& text() const { return text_; }
  // How long the server asks to wait. None: it does not say, or 0.
  std::optional<std::chrono::seconds> retry_after() const { return retry_after_; }

 private:
  int64_t status_;
  std::string text_;
  std::optional<std::chrono::seconds> retry_after_;
};

// 400: the request does not fit the model.
class BadRequest : public ServerError {
 public:
  using ServerError::ServerError;
};

// 401: the token is missing or wrong.
class Unauthorized : public ServerError {
 public:
  using ServerError::ServerError;
};

// 403: the caller may not do this.
class Forbidden : public ServerError {
 public:
  using ServerError::ServerError;
};

// 404: no such model, version or label, or the caller may not see it.
class NotFound : public ServerError {
 public:
  using ServerError::ServerError;
};

// 413: the request is larger than the server allows.
class TooLarge : public ServerError {
 public:
  using ServerError::ServerError;
};

// 503: the server is overloaded, or the model is not ready. Such calls are repeated (see Retry)
// before this is thrown.
class Unavailable : public ServerError {
 public:
  using ServerError::ServerError;
};

}  // namespace penstock_client
