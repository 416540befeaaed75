// SPDX-License-Identifier: Apache-2.0
// A connection without I/O, for tests and fuzzing: a session on a loop that the caller runs.
#pragma once

#include <algorithm>
#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "base/clock.h"
#include "base/metrics.h"
#include "net/loop.h"
#include "net/router.h"
#include "net/server_state.h"
#include "net/session.h"

namespace penstock::net {

// Replaces the connection. One thread.
class FakeSessionHost final : public SessionHost {
 public:
  FakeSessionHost(Loop& loop, ServerState& server) : loop_(loop), server_(server) {}

  void ScheduleFlush() override { wants_flush = true; }
  void PauseReading() override { is_paused = true; }
  void ResumeReading() override { is_paused = false; }
  void Yield() override { has_yielded = true; }
  void CloseAfterFlush() override { wants_close = true; }
  Loop& loop() override { return loop_; }
  ServerState& server() override { return server_; }
  std::string_view peer() const override { return "127.0.0.1:1"; }
  const Endpoint& endpoint() const override { return where; }

  bool wants_flush = false;
  bool is_paused = false;
  bool has_yielded = false;
  bool wants_close = false;
  Endpoint where;

 private:
  Loop& loop_;
  ServerState& server_;
};

// A server without threads and sockets, with one connection. One thread.
class FakeServer {
 public:
  using MakeSession = std::unique_ptr<Session> (*)(SessionHost&);
  FakeServer(const Router& router, ServerOptions options, MakeSession make_session)
      : state_(std::make_shared<ServerState>(WithDefaults(std::move(options)), router, metrics_,
                                             clock)),
        loop_(std::make_shared<Loop>(state_, [] {})),
        scope_(std::make_unique<LoopScope>(*loop_)),
        host(*loop_, *state_),
        session_(make_session(host)) {}
  ~FakeServer() {
    session_.reset();
    scope_.reset();
    loop_->Shutdown();
  }

  static ServerOptions DefaultOptions() {
    ServerOptions options;
    options.loops = 1;
    options.inflight_bytes_max = 256 << 20;
    return options;
  }

  Session& session() { return *session_; }
  Loop& loop() { return *loop_; }
  ServerState& state() { return *state_; }
  const MetricsRegistry& metrics() const { return metrics_; }
  // The connection is lost.
  void DropConnection() { session_.reset(); }

  // Gives `bytes` to the session in one read. False if the session asks to close.
  bool Receive(std::string_view bytes) {
    return session_->OnBytes(std::as_bytes(std::span(bytes.data(), bytes.size())));
  }
  // Returns the output of the session, in flushes of `flush_bytes`.
  std::string Send(size_t flush_bytes = 64 * 1024) {
    std::string sent;
    host.wants_flush = false;
    while (session_->HasOutput()) {
      ByteChain chain;
      session_->Fill(chain, flush_bytes);
      if (chain.empty()) break;
      for (const Slice& slice : chain.slices()) sent += slice.view();
    }
    return sent;
  }
  // Runs the tasks that other threads have posted.
  void RunPosted() { loop_->RunPosted(); }
  // Advances the clock, and ticks as the connection and the loop would. False if the session asks
  // to close.
  bool Pass(Duration time) {
    clock.Advance(time);
    loop_->timers().Run(clock.Now());
    return session_->OnTick(clock.Now());
  }

  FakeClock clock;

 private:
  MetricsRegistry metrics_;
  std::shared_ptr<ServerState> state_;
  std::shared_ptr<Loop> loop_;
  std::unique_ptr<LoopScope> scope_;

 public:
  FakeSessionHost host;

 private:
  std::unique_ptr<Session> session_;
};

}  // namespace penstock::net
