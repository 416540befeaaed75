// SPDX-License-Identifier: Apache-2.0
#include "retry_budget.h"

#include <algorithm>
#include <cmath>
#include <random>

#include "deadline.h"

namespace penstock_client {
namespace {

// Between 1 and 1.25.
double Spread() {
  static thread_local std::minstd_rand random{std::random_device{}()};
  return std::uniform_real_distribution<double>(1.0, 1.25)(random);
}

}  // namespace

void RetryBudget::Answered() {
  const std::lock_guard lock(mutex_);
  left_ = std::min(left_ + retry_.budget_refill, retry_.budget);
}

bool RetryBudget::Take() {
  const std::lock_guard lock(mutex_);
  if (left_ < 1) return false;
  left_ -= 1;
  return true;
}

std::optional<std::chrono::duration<double>> RetryBudget::Delay(
    int attempt, std::optional<std::chrono::seconds> retry_after,
    std::optional<std::chrono::duration<double>> left) {
  using Seconds = std::chrono::duration<double>;
  if (attempt >= retry_.attempts_max) return std::nullopt;
  const Seconds delay_max = std::min(retry_.delay_max, kLongestTime);
  Seconds delay;
  if (retry_after) {
    // Not as integers: one of milliseconds could not hold each one of seconds.
    if (Seconds(*retry_after) > delay_max) return std::nullopt;
    delay = *retry_after;
  } else {
    delay = std::min(Seconds(retry_.delay) * std::exp2(std::min(attempt - 1, 60)), delay_max);
  }
  delay *= Spread();
  if (left && delay >= *left) return std::nullopt;
  return Take() ? std::optional(delay) : std::nullopt;
}

}  // namespace penstock_client
