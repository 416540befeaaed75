// SPDX-License-Identifier: Apache-2.0
// Status and StatusOr<T>: all functions here report failures with them. The 16 canonical codes are
// those of gRPC.
#pragma once

#include <fmt/format.h>

#include <string>
#include <string_view>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace penstock {

using absl::OkStatus;
using absl::Status;
using absl::StatusCode;
using absl::StatusOr;

// The code's canonical name, as in "INVALID_ARGUMENT".
inline std::string StatusCodeName(StatusCode code) { return absl::StatusCodeToString(code); }

// Returns the text of a status. Debian's absl has its own string_view; all other code uses only
// std's. It lives as long as the status, so never call it with a temporary that ends before the
// view.
inline std::string_view MessageOf(const Status& status) {
  return {status.message().data(), status.message().size()};
}

// A status with a formatted message: `return Error(StatusCode::kNotFound, "no model {}", name);`
template <typename... Args>
Status Error(StatusCode code, fmt::format_string<Args...> format, Args&&... args) {
  return Status(code, fmt::format(format, std::forward<Args>(args)...));
}
// The same with the most frequent code.
template <typename... Args>
Status InvalidArgument(fmt::format_string<Args...> format, Args&&... args) {
  return Error(StatusCode::kInvalidArgument, format, std::forward<Args>(args)...);
}

}  // namespace penstock

// Returns from the current function when `expression` (a Status) is not OK.
#define TRY(expression)                                       \
  do {                                                        \
    if (auto try_status_ = (expression); !try_status_.ok()) { \
      return try_status_;                                     \
    }                                                         \
  } while (false)

#define PENSTOCK_CONCAT_(a, b) a##b
#define PENSTOCK_CONCAT(a, b) PENSTOCK_CONCAT_(a, b)
#define PENSTOCK_ASSIGN_OR_RETURN(temporary, target, expression) \
  auto temporary = (expression);                                 \
  if (!temporary.ok()) return std::move(temporary).status();     \
  target = std::move(temporary).value()

// `ASSIGN_OR_RETURN(auto x, MakeX());` returns the error of MakeX(), or sets x.
#define ASSIGN_OR_RETURN(target, expression) \
  PENSTOCK_ASSIGN_OR_RETURN(PENSTOCK_CONCAT(status_or_, __LINE__), target, expression)
