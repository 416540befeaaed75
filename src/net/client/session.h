// SPDX-License-Identifier: Apache-2.0
// The client side of HTTP/2 on one connection, without I/O: nghttp2's session, and its unary calls.
#pragma once

#include <nghttp2/nghttp2.h>

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "base/buffer.h"
#include "base/clock.h"
#include "base/status.h"
#include "net/client/call.h"
#include "net/http2/output.h"

namespace penstock::net {

// The windows are large, since every answer has its memory before it is received.
struct ClientSessionOptions {
  std::string authority;   // "host:port"
  bool is_secure = false;  // for :scheme
  uint32_t stream_window_bytes = 16 << 20;
  uint32_t connection_window_bytes = 64 << 20;
  size_t header_bytes_max = 64 << 10;  // of one answer, head and trailers
};

// What the session calls. Owned by loop.
class ClientSessionHost {
 public:
  // The session has output.
  virtual void ScheduleFlush() = 0;
  // The call is over, and the session has forgotten it. `call.answer` is set. May destroy the call.
  virtual void OnAnswer(ClientCall& call) = 0;

 protected:
  ~ClientSessionHost() = default;
};

// One HTTP/2 connection (RFC 9113) of a client that only makes unary gRPC calls. nghttp2 parses and
// writes frames, checks the fields of answers, keeps the windows, and holds back calls above the
// number of streams that the server allows.
//
//   session.Start(call);
//   session.Fill(chain, bytes_wanted);           // send it
//   if (!session.OnBytes(received).ok()) ...     // calls host.OnAnswer
//
// A server can do little harm: the size of a head and of a message have limits, nghttp2 limits the
// answers to pings and settings that it queues, pushes are refused, and a message has its memory,
// which the budget counts, before its bytes come. Owned by loop.
class ClientSession final {
 public:
  ClientSession(ClientSessionHost& host, ClientSessionOptions options, const Clock& clock);
  ~ClientSession();
  ClientSession(const ClientSession&) = delete;
  ClientSession& operator=(const ClientSession&) = delete;

  // Begins `call`, which lives until OnAnswer or Cancel. REQUIRES: is_open().
  void Start(ClientCall& call);
  // Ends the stream of `call`, and forgets it: no OnAnswer follows.
  void Cancel(ClientCall& call);
  // Uses bytes from the server. After an error the connection is of no use: call Fail.
  Status OnBytes(std::span<const std::byte> bytes);
  // Appends output, about `bytes_wanted` bytes.
  void Fill(ByteChain& out, size_t bytes_wanted);
  bool HasOutput() const { return nghttp2_session_want_write(ng_) != 0; }
  // UNAVAILABLE after a mistake of the server. Ask it after Fill, too.
  Status CheckServer() const;
  // The connection is lost: answers all calls with UNAVAILABLE.
  void Fail(std::string_view reason);

  // The first SETTINGS of the server have arrived.
  bool is_ready() const { return has_settings_; }
  // May begin calls: the server has not said that it goes away.
  bool is_open() const { return !is_going_away_; }
  // The same, and the connection has a stream left for a call.
  bool may_start() const {
    return !is_going_away_ && nghttp2_session_check_request_allowed(ng_) != 0;
  }
  size_t call_count() const { return calls_.size(); }
  // Sends a ping. `pings_open` counts those that have no answer.
  void Ping();
  int pings_open() const { return pings_open_; }
  // DATA and HEADERS that have arrived. Servers of gRPC end a connection that sends several pings
  // while they send neither.
  uint64_t frames_received() const { return frames_received_; }

 private:
  struct Callbacks;
  static const nghttp2_session_callbacks* CallbackTable();

  ClientCall* Find(int32_t stream);
  void SubmitHead(ClientCall& call);
  // These take what has arrived of an answer.
  bool OnField(ClientCall& call, std::string_view name, std::string_view value);
  void OnData(ClientCall& call, std::span<const std::byte> bytes);
  void BeginMessage(ClientCall& call);
  void Store(ClientCall& call, std::span<const std::byte> bytes);
  void Land(ClientCall& call);
  void OnEnd(ClientCall& call);
  void OnGoaway();
  void OnClose(ClientCall& call, uint32_t error_code);
  // The call is over: its answer is given as soon as nghttp2 is not on the call stack.
  void Finish(ClientCall& call, UnaryAnswer answer);
  // The answer is of no use, so the rest of it is not wanted.
  void Refuse(ClientCall& call, Status status);
  void Deliver();
  void WriteBody(ClientCall& call, size_t bytes);

  ClientSessionHost& host_;
  const ClientSessionOptions options_;
  const Clock& clock_;
  nghttp2_session* ng_ = nullptr;
  Http2Output output_;
  absl::flat_hash_map<int32_t, ClientCall*> calls_;  // by stream
  std::vector<ClientCall*> finished_;
  bool has_settings_ = false;
  bool is_going_away_ = false;
  bool has_found_mistake_ = false;
  int pings_open_ = 0;
  uint64_t frames_received_ = 0;
};

}  // namespace penstock::net
