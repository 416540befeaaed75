// SPDX-License-Identifier: Apache-2.0
// A loop without a thread and sockets, for tests and fuzzing. The caller runs it.
#pragma once

#include <atomic>
#include <memory>
#include <utility>

#include "base/clock.h"
#include "base/metrics/metrics.h"
#include "net/loop/loop.h"
#include "net/loop/server_state.h"
#include "net/router.h"

namespace penstock::net {

// The current loop of the thread that made it. Its clock stands still until the test moves it, and
// posted tasks wait until the test calls RunPosted:
//
//   FakeLoop loop(router, FakeLoop::DefaultOptions());
//   ...                                     // a handler answers from another thread
//   loop.RunPosted();                       // now the answer reaches the session
//   loop.clock.Advance(std::chrono::seconds(1));
//   loop.loop().timers().Run(loop.clock.Now());
//
// One thread.
class FakeLoop {
 public:
  FakeLoop(const Router& router, ServerOptions options)
      : state_(std::make_shared<ServerState>(WithDefaults(std::move(options)), router, metrics_,
                                             clock)),
        // Nothing to wake: the test calls RunPosted.
        loop_(std::make_shared<Loop>(state_, [this] { ++wakes; })),
        scope_(std::make_unique<LoopScope>(*loop_)) {}
  ~FakeLoop() {
    scope_.reset();
    loop_->Shutdown();
  }
  FakeLoop(const FakeLoop&) = delete;
  FakeLoop& operator=(const FakeLoop&) = delete;

  // Fixed numbers, so that a test gives the same result on every machine.
  static ServerOptions DefaultOptions() {
    ServerOptions options;
    options.loops = 1;
    options.inflight_bytes_max = 256 << 20;
    return options;
  }

  Loop& loop() { return *loop_; }
  ServerState& state() { return *state_; }
  const MetricsRegistry& metrics() const { return metrics_; }
  // Runs the tasks that other threads have posted.
  void RunPosted() { loop_->RunPosted(); }

  FakeClock clock;
  std::atomic<int> wakes{0};  // how often a thread would have been woken

 private:
  MetricsRegistry metrics_;
  std::shared_ptr<ServerState> state_;
  std::shared_ptr<Loop> loop_;
  std::unique_ptr<LoopScope> scope_;
};

}  // namespace penstock::net
