// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <optional>
#include <string>

#include "penstock_client/errors.h"

namespace penstock_client {

// When a call has to end. Immutable.
class Deadline {
 public:
  using Clock = std::chrono::steady_clock;

  explicit Deadline(std::optional<std::chrono::milliseconds> timeout) : timeout_(timeout) {
    if (timeout) at_ = Clock::now() + *timeout;
  }

  std::optional<Clock::time_point> at() const { return at_; }
  // None: it never ends.
  std::optional<Clock::duration> Left() const {
    return at_ ? std::optional(*at_ - Clock::now()) : std::nullopt;
  }
  // `what` did not come in time.
  [[noreturn]] void Expire(const std::string& what) const {
    throw TimeoutExpired(what + ": not within " + std::to_string(timeout_.value().count()) +
                         " ms (timeout)");
  }

 private:
  std::optional<std::chrono::milliseconds> timeout_;
  std::optional<Clock::time_point> at_;
};

}  // namespace penstock_client
