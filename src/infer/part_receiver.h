// SPDX-License-Identifier: Apache-2.0
// The back-pressure of an answer in parts, from the network to the model.
#pragma once

#include <atomic>
#include <memory>

#include "base/cancel.h"
#include "base/executor.h"
#include "base/flow_control.h"

namespace penstock {

// The receiver of one answer in parts. Shared by the call and by the callbacks of the network,
// which may come after the call has ended. Thread-safe. `pool` outlives it.
class PartReceiver final : public std::enable_shared_from_this<PartReceiver> {
 public:
  explicit PartReceiver(Executor& pool) : pool_(&pool) {}

  // The model of the call runs on `pool`, which outlives the run. Call it before the run.
  void RunOn(Executor& pool) { pool_ = &pool; }

  // Tells the model whether the receiver is slow.
  FlowControl& flow() { return flow_; }

  // A part is on its way to the network. The model should wait until OnAccepted.
  void OnSend() { flow_.SetSlow(); }
  // The network can take the next part, or has ended the call. Usually called on an event loop. A
  // model that waits for this goes on, on the compute pool. If the pool is full, the run is
  // refused: `cancel` stops it, and is_refused says why.
  void OnAccepted(CancelToken& cancel);
  bool is_refused() const { return is_refused_.load(std::memory_order_acquire); }

 private:
  Executor* pool_;  // changes only before the run, and is used only while the model waits
  FlowControl flow_;
  std::atomic<bool> is_refused_{false};
};

}  // namespace penstock
