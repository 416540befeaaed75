// SPDX-License-Identifier: Apache-2.0
// Listening sockets. Each new connection goes to the loop with the fewest connections.
#pragma once

#include <sys/types.h>

#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/steady_timer.hpp>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "base/status.h"
#include "net/options.h"
#include "net/socket/event_loop.h"

namespace penstock::net {

// An open file descriptor, which the destructor closes. -1: none. One thread at a time.
class OwnedSocket final {
 public:
  OwnedSocket() = default;
  explicit OwnedSocket(int socket) : socket_(socket) {}
  OwnedSocket(OwnedSocket&& other) noexcept : socket_(other.Release()) {}
  OwnedSocket& operator=(OwnedSocket&& other) noexcept {
    std::swap(socket_, other.socket_);
    return *this;
  }
  ~OwnedSocket();

  int get() const { return socket_; }
  // Gives the descriptor to the caller, who must close it.
  int Release() { return std::exchange(socket_, -1); }

 private:
  int socket_ = -1;
};

// A bound socket.
struct BoundSocket {
  OwnedSocket socket;
  int port = 0;  // 0 for unix sockets
  // The inode of a unix socket's file. No other file gets this number while the socket is open.
  ino_t file = 0;
};

// Binds an address, without listening. Replaces the unix socket of an earlier server, even if that
// server still runs, as gRPC servers do. The socket is non-blocking and closed on exec. Errors:
// UNAVAILABLE (address in use), INVALID_ARGUMENT (no such address, or a path that is no socket).
// The message names the address.
StatusOr<BoundSocket> Bind(const ListenOptions& options);
// Lets clients connect to the bound socket. Errors as for Bind: on Linux another process may have
// bound the same port and listened first.
Status Listen(int socket, const ListenOptions& options);

// Accepts the connections of one socket, and hands each to the loop that has the fewest.
// Connections over `connections_max` are accepted and closed at once. When the process has no file
// descriptors left, it tries again after 100 ms. Owned by its loop; destroyed on the loop or after
// it has ended. The destructor removes the file of a unix socket, unless a later server has
// replaced it.
class Listener final {
 public:
  // Accepts on `loops[0]` for all of `loops`, which must outlive it. `endpoint` must outlive the
  // calls.
  Listener(BoundSocket bound, const ListenOptions& options, const Endpoint& endpoint,
           std::span<const std::unique_ptr<EventLoop>> loops, ServerState& server);
  ~Listener();
  Listener(const Listener&) = delete;
  Listener& operator=(const Listener&) = delete;

  // Starts to accept. Call it after Listen has returned.
  void Start();
  // For Listen. Still owned by the listener.
  int socket() { return socket_.native_handle(); }

 private:
  void OnReadable();
  // Returns false if no more connections can be accepted now.
  bool AcceptOne();
  // Gives the socket to the loop with the fewest connections.
  void HandOver(OwnedSocket socket, std::string peer);

  void RemoveFile() const;

  const ListenOptions options_;
  const Endpoint& endpoint_;
  const ino_t file_;
  const std::span<const std::unique_ptr<EventLoop>> loops_;
  ServerState& server_;
  boost::asio::posix::stream_descriptor socket_;
  boost::asio::steady_timer retry_;
  size_t next_loop_ = 0;
};

}  // namespace penstock::net
