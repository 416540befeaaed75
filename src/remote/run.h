// SPDX-License-Identifier: Apache-2.0
// One request of a remote model.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "absl/container/inlined_vector.h"
#include "base/buffer.h"
#include "base/clock.h"
#include "infer/request.h"
#include "net/client/call.h"
#include "net/loop/timer_wheel.h"
#include "remote/core.h"

namespace penstock::remote {

// Sends a request to a target, and again to another one: after a failure, if the target has not
// begun it or the model is idempotent; and if it is slow and the model is idempotent. The first
// answer counts, and the others are cancelled. It holds no thread and no slot meanwhile. Owned by
// loop, after Start.
class RemoteRun final : public std::enable_shared_from_this<RemoteRun>, private net::WheelTimer {
 public:
  // Called on any thread. `request` lives until `done` is called. Then the version may be unloaded;
  // `core` stays.
  static void Start(std::shared_ptr<RemoteCore> core, const InferRequest& request,
                    ResponseCallback done);

 private:
  // One call to a target.
  struct Try {
    std::shared_ptr<Target> target;
    uint64_t call = 0;
    SteadyTime begun;
    bool is_open = true;
    bool is_blamed = false;  // its target was blamed for it
  };
  static constexpr size_t kTriesMax = 3;

  RemoteRun(std::shared_ptr<RemoteCore> core, size_t loop, const InferRequest& request,
            ByteChain message, ResponseCallback done);

  LoopPart& part() { return core_->parts[loop_]; }
  net::ClientLoop& loop() { return core_->loops.at(loop_); }
  void Begin();
  void StartTry();
  void OnAnswer(size_t index, net::UnaryAnswer&& answer);
  void OnGoodAnswer(Try& winner, const Slice& message);
  // Begins another try after this failure. False: none is allowed.
  bool TryAgain(const net::UnaryAnswer& answer);
  size_t OpenTries() const;
  // True if the open try is so late that its target has probably stopped. Blames it for that.
  bool IsStuck(Try& each, SteadyTime now);
  void Blame(Try& each, SteadyTime now);
  // The tries that are open are slow.
  void OnTimer() override;
  // Nobody waits for the answer any more.
  void OnCancel();
  Status ErrorOf(const Target& target, const net::UnaryAnswer& answer) const;
  void Answer(InferResponse&& response);

  const std::shared_ptr<RemoteCore> core_;
  const size_t loop_;
  const InferRequest* request_;  // null: it is answered
  const ByteChain message_;
  const SteadyTime deadline_;
  ResponseCallback done_;
  absl::InlinedVector<Try, kTriesMax> tries_;
  std::string hops_;
};

}  // namespace penstock::remote
