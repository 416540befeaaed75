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

#include "access/access_control.h"
#include "net/http/session.h"
#include "net/loop/loop_fake.h"
#include "net/router.h"

namespace penstock::net {

// Replaces the connection. One thread.
class FakeSessionHost final : public SessionHost {
 public:
  FakeSessionHost(Loop& loop, ServerState& server) : loop_(loop), server_(server) {
    if (server.options.access != nullptr)
      callers_ =
          std::make_unique<access::CallerMemo>(*server.options.access, access::CertificateNames());
  }

  // Only notes what the session asks for. The test decides when it happens.
  void ScheduleFlush() override { wants_flush = true; }
  void PauseReading() override { is_paused = true; }
  void ResumeReading() override { is_paused = false; }
  void Yield() override { has_yielded = true; }
  void CloseAfterFlush() override { wants_close = true; }
  Loop& loop() override { return loop_; }
  ServerState& server() override { return server_; }
  std::string_view peer() const override { return peer_; }
  const Endpoint& endpoint() const override { return where; }
  access::CallerMemo* callers() override { return callers_.get(); }

  // The connection of a client with this address. Its text goes with the connection.
  void SetPeer(std::string peer) { peer_ = std::move(peer); }

  // What the session has asked for, since the test has set it back.
  bool wants_flush = false;
  bool is_paused = false;
  bool has_yielded = false;
  bool wants_close = false;
  Endpoint where;

 private:
  std::string peer_ = "127.0.0.1:1";
  Loop& loop_;
  ServerState& server_;
  std::unique_ptr<access::CallerMemo> callers_;
};

// A server without threads and sockets, with one connection. The test is the network: it gives
// bytes to the session and takes its answer, in pieces of any size.
//
//   FakeServer server(router, FakeLoop::DefaultOptions(), MakeHttp1Session);
//   EXPECT_TRUE(server.Receive("GET /a HTTP/1.1\r\n"));
//   EXPECT_TRUE(server.Receive("host: b\r\n\r\n"));
//   EXPECT_THAT(server.Send(), StartsWith("HTTP/1.1 200 OK"));
//
// One thread.
class FakeServer : public FakeLoop {
 public:
  using MakeSession = std::unique_ptr<Session> (*)(SessionHost&);
  FakeServer(const Router& router, ServerOptions options, MakeSession make_session)
      : FakeLoop(router, std::move(options)), host(loop(), state()), session_(make_session(host)) {}

  Session& session() { return *session_; }
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
      // The peer's window holds back the rest.
      if (chain.empty()) break;
      for (const Slice& slice : chain.slices()) sent += slice.view();
    }
    return sent;
  }
  // Returns how much memory the budget for bodies gives to others, in steps of 4096 bytes. Takes it
  // as another connection would, which drops incomplete requests, and gives it back.
  uint64_t BytesForOthers() {
    constexpr uint64_t kStep = 4096;
    uint64_t taken = 0;
    while (loop().TryTakeBodyBytes(kStep)) taken += kStep;
    loop().body_bytes().Give(taken);
    return taken;
  }
  // Advances the clock, and ticks as the connection and the loop would. False if the session asks
  // to close.
  bool Pass(Duration time) {
    clock.Advance(time);
    loop().timers().Run(clock.Now());
    return session_->OnTick(clock.Now());
  }

  FakeSessionHost host;

 private:
  std::unique_ptr<Session> session_;
};

}  // namespace penstock::net
