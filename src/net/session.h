// SPDX-License-Identifier: Apache-2.0
// A protocol on one connection. The connection moves bytes (plain or TLS) and knows nothing of
// HTTP; a session turns bytes into calls and answers into bytes, and knows nothing of sockets. So a
// session can be driven from a test or a fuzzer without I/O.
#pragma once

#include <cstddef>
#include <memory>
#include <span>

#include "base/buffer.h"
#include "base/clock.h"
#include "net/headers.h"
#include "net/server.h"

namespace penstock::net {

class Loop;
class ServerState;  // what all loops share: options, router, limits, metrics, drain flag

// What a session asks of its connection. Owned by the loop; every call on the loop's thread.
class SessionHost {
 public:
  virtual ~SessionHost() = default;
  // There is output: have Session::Fill called before the loop sleeps (once per burst).
  virtual void ScheduleFlush() = 0;
  // Read no more until ResumeReading: back-pressure.
  virtual void PauseReading() = 0;
  virtual void ResumeReading() = 0;
  // Send what Fill gives, then close.
  virtual void CloseAfterFlush() = 0;
  virtual Loop& loop() = 0;
  virtual ServerState& server() = 0;
  virtual std::string_view peer() const = 0;
  // Outlives the calls.
  virtual const Endpoint& endpoint() const = 0;
};

// Owned by its connection; every call on the loop's thread. It is destroyed when the connection is
// gone, and then cancels the calls that are still open.
class Session {
 public:
  virtual ~Session() = default;

  // Where the next bytes should be read to: the rest of a big body. Empty: the loop's scratch
  // buffer.
  virtual std::span<std::byte> ReadTarget() { return {}; }
  // `bytes` have arrived (in ReadTarget, if that is where they lie). All are consumed. False:
  // protocol error; the connection flushes (a GOAWAY or a 400 may be queued) and closes.
  [[nodiscard]] virtual bool OnBytes(std::span<const std::byte> bytes) = 0;
  // The peer sends no more: it has half-closed, or is gone. False: close now; true: answers are
  // still to be sent.
  [[nodiscard]] virtual bool OnEndOfInput() = 0;
  // Appends output to `out`, stopping soon after `bytes_wanted`. Called again when that has been
  // written.
  virtual void Fill(ByteChain& out, size_t bytes_wanted) = 0;
  // True if Fill would give something.
  virtual bool HasOutput() const = 0;
  // True if no request is open: the idle time-out counts, and a draining connection may be closed.
  virtual bool IsIdle() const = 0;
  // The server drains: announce it to the peer.
  virtual void StartDrain() = 0;
  // True if no request was open when the drain began and none has come since: the peer waits for
  // nothing.
  virtual bool IsUnusedSinceDrain() const = 0;
  // About once a second: time-outs. False: close now.
  [[nodiscard]] virtual bool OnTick(SteadyTime now) = 0;
};

// The sessions of the two protocols.
std::unique_ptr<Session> MakeHttp1Session(SessionHost& host);
std::unique_ptr<Session> MakeHttp2Session(SessionHost& host);

}  // namespace penstock::net
