// SPDX-License-Identifier: Apache-2.0
// Asks the targets of a remote version from time to time whether they have the model.
#pragma once

#include <functional>
#include <memory>

#include "base/buffer.h"
#include "net/client/call.h"
#include "net/loop/timer_wheel.h"
#include "remote/core.h"

namespace penstock::remote {

// What the targets are asked. Plain data.
struct HealthQuestion {
  const char* path = nullptr;
  ByteChain message;
  uint64_t answer_bytes_max = 1 << 20;
  // True if the target can be used. Called on loop 0.
  std::function<bool(const Target& target, const net::UnaryAnswer& answer)> is_good;
};

// Takes out the targets whose model is not available, and those that do not answer. Owned by loop
// 0, except Start and Stop.
class HealthChecker final : public std::enable_shared_from_this<HealthChecker>,
                            private net::WheelTimer {
 public:
  // Asks for the status of the model.
  explicit HealthChecker(std::shared_ptr<RemoteCore> core);
  HealthChecker(std::shared_ptr<RemoteCore> core, HealthQuestion question);

  // Begins to ask, after a while. Called once, on any thread but the loop's.
  void Start();
  // After this returns, no channel is used any more. Blocks for a moment. Called on any thread but
  // the loop's.
  void Stop();

 private:
  void OnTimer() override;
  void Ask(const std::shared_ptr<Target>& target);

  const std::shared_ptr<RemoteCore> core_;
  const HealthQuestion question_;
  bool is_stopped_ = false;
};

}  // namespace penstock::remote
