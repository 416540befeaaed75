// SPDX-License-Identifier: Apache-2.0
// One socket to another server: it connects, encrypts, reads and writes.
#pragma once

#include <array>
#include <boost/asio/ip/tcp.hpp>
#include <memory>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "base/status.h"
#include "net/client/session.h"
#include "net/client/tls_context.h"
#include "net/socket/io_loop.h"

namespace penstock::net {

// How a channel connects, and what it may hold.
struct ChannelOptions {
  std::string host;  // a name or an address; of IPv6 without brackets
  uint16_t port = 0;
  // What the server is called, in :authority and in its certificate, if `host` is only an address
  // of it. Empty: `host`.
  std::string name = {};
  std::unique_ptr<ClientTlsOptions> tls;  // null: the connection is not encrypted
  // For the look-up of the name, the connection, the TLS handshake and the first word of HTTP/2.
  Duration connect_timeout = std::chrono::seconds(5);
  // While calls are open and nothing arrives for this time, a ping asks whether the server lives.
  Duration keepalive_time = std::chrono::seconds(10);
  Duration keepalive_timeout = std::chrono::seconds(5);  // for its answer
  // The time before a new attempt to connect. It doubles with each failure.
  Duration backoff_min = std::chrono::milliseconds(100);
  Duration backoff_max = std::chrono::seconds(10);
  size_t calls_max = 1000;  // open, or waiting for the connection; more are refused
  uint32_t stream_window_bytes = 16 << 20;
  uint32_t connection_window_bytes = 64 << 20;

  std::string Address() const;    // "host:port"
  std::string Authority() const;  // "name:port"
};

class ClientConnection;

// What a connection tells its channel. Owned by loop.
class ConnectionOwner {
 public:
  // The server speaks HTTP/2: calls may begin.
  virtual void OnReady(ClientConnection& connection) = 0;
  // The connection is lost, or has ended; its calls have been answered. It may be dropped.
  virtual void OnClosed(ClientConnection& connection, const Status& reason) = 0;
  // A call is over.
  virtual void OnCallEnd(ClientCall& call) = 0;

 protected:
  ~ConnectionOwner() = default;
};

// A connection, from the look-up of the name to its end. Asio's operations keep it alive, so the
// channel may drop it at any time after Close. Owned by loop.
class ClientConnection final : public std::enable_shared_from_this<ClientConnection>,
                               private ClientSessionHost,
                               private FlushTarget,
                               private WheelTimer {
 public:
  // `owner` must live until Close or OnClosed; `options` and `loop` as long as this.
  ClientConnection(IoLoop& loop, const ChannelOptions& options, ConnectionOwner& owner);
  ~ClientConnection() override;
  ClientConnection(const ClientConnection&) = delete;
  ClientConnection& operator=(const ClientConnection&) = delete;

  // Begins to connect. OnReady or OnClosed follows.
  void Connect();
  ClientSession& session() { return session_; }
  bool is_ready() const { return is_ready_; }
  // Begins a call. REQUIRES: is_ready() and session().is_open().
  void Start(ClientCall& call);
  // Answers the open calls with `reason` and closes the socket. No call of the owner but OnCallEnd
  // follows.
  void Close(std::string_view reason);
  // Ends after the open calls, if there are any. OnClosed follows, perhaps at once.
  void CloseIfDone();

 private:
  using Endpoints = boost::asio::ip::tcp::resolver::results_type;

  void ConnectTo(Endpoints endpoints, Endpoints::const_iterator next,
                 const std::string& last_error);
  void OnConnected();
  void StartRead();
  void OnRead(const boost::system::error_code& error, size_t bytes, SteadyTime now);
  // Uses what was read. False: the connection is closed.
  bool OnWireBytes(std::span<const std::byte> bytes);
  bool OnPlainBytes(std::span<const std::byte> bytes);
  // Closes, and tells the owner.
  void Fail(const Status& reason);

  void Flush() override;
  bool FillUnsent();
  bool Send();
  void ScheduleFlush() override;
  void OnAnswer(ClientCall& call) override { owner_->OnCallEnd(call); }

  // The timer is that of the connection attempt, then that of the next ping or of its answer.
  void OnTimer() override;
  void ArmKeepAlive();

  IoLoop& loop_;
  const ChannelOptions& options_;
  ConnectionOwner* owner_;
  ClientSession session_;
  boost::asio::ip::tcp::resolver resolver_;
  boost::asio::ip::tcp::socket socket_;
  std::unique_ptr<TlsFilter> tls_;

  ByteChain unsent_;
  size_t next_slice_ = 0;
  size_t sent_ = 0;

  bool is_connected_ = false;  // the socket
  bool is_ready_ = false;
  bool is_closed_ = false;
  bool is_flush_scheduled_ = false;
  bool waits_writable_ = false;

  SteadyTime last_received_;
  SteadyTime last_ping_;
  SteadyTime call_since_;         // when the last call began while none was open
  uint64_t frames_at_ping_ = 0;   // see ClientSession::frames_received
  int pings_without_frames_ = 0;  // one after the other

  std::array<std::byte, 64 * 1024> input_;
};

}  // namespace penstock::net
