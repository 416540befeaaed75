// SPDX-License-Identifier: Apache-2.0
// A call without a connection, for tests of what is written about calls.
#pragma once

#include <chrono>
#include <string_view>

#include "net/call.h"

namespace penstock {

// A gRPC call that has ended after 250 us. One thread.
class FakeEndedCall : public net::Call {
 public:
  // `peer` outlives it.
  explicit FakeEndedCall(std::string_view peer) {
    head_.method = "POST";
    head_.path = "/t.T/Do";
    head_.protocol = net::Protocol::kHttp2;
    head_.peer = peer;
    start_ = SteadyTime(std::chrono::hours(1));
    request_id_ = 0x1f;
    record_.ended = start_ + std::chrono::microseconds(250);
  }
  net::RequestHead& head() { return head_; }
  void CancelFromRun() override { cancel_.Cancel(); }

 private:
  void Destroy() override {}
};

}  // namespace penstock
