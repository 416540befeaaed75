// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <mutex>
#include <optional>

#include "penstock_client/options.h"

namespace penstock_client {

// The tries again that all calls of a client have left. Thread-safe.
class RetryBudget {
 public:
  explicit RetryBudget(const Retry& retry) : retry_(retry), left_(retry.budget) {}

  void Answered();
  // Whether a request whose kept connection was closed may be sent again, at once.
  bool MayResend() { return retry_.attempts_max > 1 && Take(); }
  // How long to wait before try `attempt` + 1. None: no more tries. What the server asks for is the
  // least, and up to a quarter more, so that clients that were refused together do not come back
  // together.
  std::optional<std::chrono::duration<double>> Delay(
      int attempt, std::optional<std::chrono::seconds> retry_after,
      std::optional<std::chrono::duration<double>> left);

 private:
  bool Take();

  const Retry retry_;
  std::mutex mutex_;
  double left_;  // guarded by mutex_
};

}  // namespace penstock_client
