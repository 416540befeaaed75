// SPDX-License-Identifier: Apache-2.0
// The interface between a connection and its protocol. The connection moves bytes (plain or TLS)
// and knows nothing of HTTP. The session turns bytes into calls and answers into bytes, and knows
// nothing of sockets. So a test or a fuzzer can drive a session without I/O.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "base/buffer.h"
#include "base/clock.h"
#include "net/headers.h"
#include "net/options.h"

namespace penstock::access {
class CallerMemo;
}

namespace penstock::net {

class Call;
class Loop;
class ServerState;  // Shared by all loops: options, router, limits, metrics, drain flag.

// The functions of a connection that its session uses. Connection implements it; FakeSessionHost
// does for tests. None of them calls back into the session. Owned by the loop; every call on the
// loop's thread.
class SessionHost {
 public:
  virtual ~SessionHost() = default;
  // Requests a call of Session::Fill before the loop sleeps. Many requests in one burst cause one
  // flush. A session calls this when it has output.
  virtual void ScheduleFlush() = 0;
  // Stops reading until ResumeReading. The session uses it for back-pressure.
  virtual void PauseReading() = 0;
  virtual void ResumeReading() = 0;
  // The turn is over (Loop::turn), and the session has kept input. Session::Continue is called in a
  // later turn, and no more input is read until then.
  virtual void Yield() = 0;
  // Sends all output of Fill, then closes the connection.
  virtual void CloseAfterFlush() = 0;
  virtual Loop& loop() = 0;
  virtual ServerState& server() = 0;
  // The client's address, as RequestHead has it. Lives as long as the connection; a call needs a
  // copy.
  virtual std::string_view peer() const = 0;
  // The endpoint outlives the calls.
  virtual const Endpoint& endpoint() const = 0;
  // Says who sends the requests of this connection. Null: the server has no token file.
  virtual access::CallerMemo* callers() { return nullptr; }
};

// The calls that the end of the drain cuts off. Plain data.
struct CutCalls {
  int64_t http1 = 0;
  int64_t http2 = 0;  // plain HTTP
  int64_t grpc = 0;
  SteadyTime oldest_start = SteadyTime::max();
  std::string oldest_peer;

  // Counts `call` in `of_protocol`, which is a member of this.
  void Add(int64_t& of_protocol, const Call& call);
  void Add(const CutCalls& other);
};

// One protocol on one connection. The connection drives it:
//
//   if (!session->OnBytes(bytes)) CloseAfterFlush();  // handlers may run in here
//   ...                                               // at the end of the event:
//   while (session->HasOutput()) { session->Fill(chain, bytes_wanted); Send(chain); }
//   ...                                               // about once a second:
//   if (!session->OnTick(now)) Close();
//
// Owned by its connection; every call on the loop's thread. The connection destroys it when it
// needs no more output. The destructor cancels the calls that are still open.
class Session {
 public:
  virtual ~Session() = default;

  // Where the connection should read the next bytes to. The session returns the buffer of a big
  // body here, to save a copy. Empty: use the loop's scratch buffer.
  virtual std::span<std::byte> ReadTarget() { return {}; }
  // True if the connection should wait until bytes have come, and not read any before it has asked
  // PreviewBytes and ReadTarget.
  virtual bool ReadsInPlace() const { return false; }
  // How many of the bytes that come next the session wants to see while they are still in the
  // socket, so that it can choose the place of a big body. 0: none.
  virtual size_t PreviewBytes() const { return 0; }
  // Shows the session the first of the bytes that come next; OnBytes gets them, too. Returns how
  // many of them the connection must read by themselves, since a body begins behind them; 0 if it
  // may read on. ReadTarget may say another place afterwards.
  virtual size_t Preview(std::span<const std::byte> /*next*/) { return 0; }
  // Handles received bytes, which may lie in ReadTarget. It takes all of them, but may keep some
  // for Continue (see SessionHost::Yield). False: protocol error. Then the connection flushes the
  // output, which may hold a GOAWAY or a 400, and closes.
  [[nodiscard]] virtual bool OnBytes(std::span<const std::byte> bytes) = 0;
  // Handles the kept input, in a new turn. Returns as OnBytes does.
  [[nodiscard]] virtual bool Continue() = 0;
  // The peer sends nothing more: it has half-closed the connection, or it is gone. Returns false to
  // close now, true if answers must still be sent.
  [[nodiscard]] virtual bool OnEndOfInput() = 0;
  // Appends output to `out`, and stops soon after `bytes_wanted`. The connection calls it again
  // when these bytes are written.
  virtual void Fill(ByteChain& out, size_t bytes_wanted) = 0;
  // True if Fill would append anything.
  virtual bool HasOutput() const = 0;
  // True if no request is open. Then the idle timeout runs, and a draining connection may close.
  virtual bool IsIdle() const = 0;
  // Announces to the peer that the server drains. Requests that have begun are still answered.
  // Called at most once.
  virtual void StartDrain() = 0;
  // Asks the peer to open another connection, since this one is old. Requests that have begun or
  // are on their way are still answered. Called at most once.
  virtual void AskToReconnect() = 0;
  // True if no request was open when the drain began and none has come since. Then the peer waits
  // for no answer.
  virtual bool IsUnusedSinceDrain() const = 0;
  // True if the peer has begun a head that is not complete, and has no request open.
  virtual bool HasOnlyBegunHead() const = 0;
  // The server waits no longer, because of `why`, such as "the server shut down". Answers the open
  // calls with 503 or UNAVAILABLE, and adds them to `cut`. An incomplete head is refused, and is
  // not a call.
  virtual void CutOff(std::string_view why, CutCalls& cut) = 0;
  // Checks timeouts. Called about once a second. False: close now.
  [[nodiscard]] virtual bool OnTick(SteadyTime now) = 0;
};

inline constexpr std::string_view kServerShutDown = "the server shut down";

// Make the session of a new connection. `host` must outlive it.
std::unique_ptr<Session> MakeHttp1Session(SessionHost& host);
std::unique_ptr<Session> MakeHttp2Session(SessionHost& host);

}  // namespace penstock::net
