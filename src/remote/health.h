// SPDX-License-Identifier: Apache-2.0
// Asks the targets of a remote version from time to time whether they have the model.
#pragma once

#include <memory>

#include "net/loop/timer_wheel.h"
#include "remote/core.h"

namespace penstock::remote {

// Takes out the targets whose model is not available, and those that do not answer. Owned by loop
// 0, except Start and Stop.
class HealthChecker final : public std::enable_shared_from_this<HealthChecker>,
                            private net::WheelTimer {
 public:
  explicit HealthChecker(std::shared_ptr<RemoteCore> core);

  // Begins to ask. Called once, on any thread but the loop's.
  void Start();
  // After this returns, no channel is used any more. Blocks for a moment. Called on any thread but
  // the loop's.
  void Stop();

 private:
  void OnTimer() override;
  void Ask(const std::shared_ptr<Target>& target);

  const std::shared_ptr<RemoteCore> core_;
  bool is_stopped_ = false;
};

}  // namespace penstock::remote
