// SPDX-License-Identifier: Apache-2.0
// One question to the targets of a remote model.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "absl/container/inlined_vector.h"
#include "absl/functional/any_invocable.h"
#include "base/buffer.h"
#include "base/clock.h"
#include "base/status.h"
#include "net/client/call.h"
#include "net/loop/timer_wheel.h"
#include "remote/core.h"

namespace penstock::remote {

// What is asked. Plain data.
struct RemoteQuestion {
  ByteChain message;  // a PredictRequest
  SteadyTime deadline = kNoDeadline;
  uint32_t hops = 0;  // the servers that have passed it on already
};

// FAILED_PRECONDITION if too many servers have passed a request on.
Status CheckHops(uint32_t hops, const RemoteSettings& settings);

// Sends a question to a target, and again to another one: after a failure, if the target has not
// begun it or the model is idempotent; and if it is slow and the model is idempotent. The first
// answer counts, and the others are cancelled. It holds no thread and no slot meanwhile. Owned by
// loop.
class RemoteRun final : public std::enable_shared_from_this<RemoteRun>, private net::WheelTimer {
 public:
  // Gets the message of the first good answer, which is a PredictResponse, or the error. Called
  // once, on the loop, perhaps by Begin. Then the version may be unloaded; `core` stays.
  using Done = absl::AnyInvocable<void(StatusOr<Slice>&&)>;

  // Asks, on the loop with the number `loop`, which must be the one that calls.
  static std::shared_ptr<RemoteRun> Begin(std::shared_ptr<RemoteCore> core, size_t loop,
                                          RemoteQuestion question, Done done);
  // Nobody waits for the answer any more: `done` is not called. `has_expired`: the deadline has
  // passed.
  void GiveUp(bool has_expired);

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

  RemoteRun(std::shared_ptr<RemoteCore> core, size_t loop, RemoteQuestion question, Done done);

  LoopPart& part() { return core_->parts[loop_]; }
  net::IoLoop& loop() { return core_->loops.at(loop_); }
  void StartTry();
  void OnAnswer(size_t index, net::UnaryAnswer&& answer);
  void OnGoodAnswer(Try& winner, Slice&& message);
  // Begins another try after this failure. False: none is allowed.
  bool TryAgain(const net::UnaryAnswer& answer);
  size_t OpenTries() const;
  // True if the open try is so late that its target has probably stopped. Blames it for that.
  bool IsStuck(Try& each, SteadyTime now);
  void Blame(Try& each, SteadyTime now);
  // The tries that are open are slow.
  void OnTimer() override;
  Status ErrorOf(const Target& target, const net::UnaryAnswer& answer) const;
  // Cancels the tries that are open.
  void End();
  void Answer(StatusOr<Slice>&& answer);

  const std::shared_ptr<RemoteCore> core_;
  const size_t loop_;
  const RemoteQuestion question_;
  Done done_;
  bool is_over_ = false;  // it is answered, or given up
  absl::InlinedVector<Try, kTriesMax> tries_;
  const std::string hops_;
};

}  // namespace penstock::remote
