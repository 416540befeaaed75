// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <limits>
#include <optional>
#include <string>

#include "penstock_client/errors.h"

namespace penstock_client {

// 24 days: longer times are this one. libcurl has no longer ones, and no sum of times overflows.
inline constexpr std::chrono::milliseconds kLongestTime{std::numeric_limits<int32_t>::max()};

// When a call has to end. Immutable.
class Deadline {
 public:
  using Clock = std::chrono::steady_clock;

  explicit Deadline(std::optional<std::chrono::milliseconds> timeout) : timeout_(timeout) {
    if (timeout)
      at_ = Clock::now() + std::clamp(*timeout, std::chrono::milliseconds::zero(), kLongestTime);
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
