// SPDX-License-Identifier: Apache-2.0
// All connections of a port are accepted on loop 0 and handed to the loop with the fewest. The
// kernel could spread them over one socket for each loop (SO_REUSEPORT). But it spreads by a hash,
// and a gRPC client has few connections that live long, so one loop could get all the work.
#include "net/socket/listener.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "base/log.h"
#include "net/socket/connection.h"

namespace penstock::net {
namespace {

constexpr int kAcceptsInARow = 64;  // then the other tasks of the loop get their turn
// Wait this long if the process has no file descriptors left.
constexpr auto kRetryTime = std::chrono::milliseconds(100);

// "127.0.0.1:40122", "[::1]:40122" or "unix".
std::string PeerName(const sockaddr_storage& address) {
  char text[INET6_ADDRSTRLEN] = {};
  if (address.ss_family == AF_INET) {
    const auto& v4 = reinterpret_cast<const sockaddr_in&>(address);
    inet_ntop(AF_INET, &v4.sin_addr, text, sizeof text);
    return fmt::format("{}:{}", text, ntohs(v4.sin_port));
  }
  if (address.ss_family != AF_INET6) return "unix";
  const auto& v6 = reinterpret_cast<const sockaddr_in6&>(address);
  inet_ntop(AF_INET6, &v6.sin6_addr, text, sizeof text);
  const std::string_view name(text);
  constexpr std::string_view kMappedIpv4 = "::ffff:";
  // A socket for "::" reports IPv4 clients in this form. Logs should show the address that the
  // client has.
  if (IN6_IS_ADDR_V4MAPPED(&v6.sin6_addr))
    return fmt::format("{}:{}", name.substr(kMappedIpv4.size()), ntohs(v6.sin6_port));
  return fmt::format("[{}]:{}", name, ntohs(v6.sin6_port));
}

}  // namespace

Listener::Listener(BoundSocket bound, const ListenOptions& options, const Endpoint& endpoint,
                   std::span<const std::unique_ptr<EventLoop>> loops, ServerState& server)
    : options_(options),
      endpoint_(endpoint),
      file_(bound.file),
      loops_(loops),
      server_(server),
      socket_(loops[0]->io(), bound.socket.Release()),
      retry_(loops[0]->io()) {}

Listener::~Listener() { RemoveFile(); }

// Removes the socket's file, unless a later server has replaced it.
void Listener::RemoveFile() const {
  struct stat info = {};
  if (options_.unix_path.empty() || lstat(options_.unix_path.c_str(), &info) != 0) return;
  if (info.st_ino == file_) unlink(options_.unix_path.c_str());
}

void Listener::Start() {
  socket_.async_wait(boost::asio::posix::descriptor_base::wait_read,
                     [this](const boost::system::error_code& error) {
                       if (error) return;  // the listener is gone
                       OnReadable();
                       loops_[0]->EndEvent();
                     });
}

void Listener::OnReadable() {
  for (int i = 0; i < kAcceptsInARow; ++i)
    if (!AcceptOne()) break;
  // Without file descriptors or memory the connection stays in the kernel's queue, and the socket
  // stays readable. Waiting for it again at once would spin.
  if (errno != EMFILE && errno != ENFILE && errno != ENOBUFS && errno != ENOMEM) return Start();
  PENSTOCK_LOG(kWarning, "cannot accept connections for now: {}", std::strerror(errno));
  retry_.expires_after(kRetryTime);
  retry_.async_wait([this](const boost::system::error_code& error) {
    if (!error) Start();
  });
}

bool Listener::AcceptOne() {
  sockaddr_storage address = {};
  socklen_t size = sizeof address;
  errno = 0;
  OwnedSocket socket(accept4(socket_.native_handle(), reinterpret_cast<sockaddr*>(&address), &size,
                             SOCK_NONBLOCK | SOCK_CLOEXEC));
  // The client has given up already, or a signal came: try the next one.
  if (socket.get() < 0) return errno == ECONNABORTED || errno == EINTR;
  server_.metrics.connections.Add();
  int open = 0;
  for (const auto& loop : loops_) open += loop->connection_count();
  // Accept it and close it, so that the client sees an error at once, and does not wait in the
  // kernel's queue.
  if (open >= server_.options.connections_max) {
    server_.metrics.limit_connections.Add();
    return true;  // closes it
  }
  if (address.ss_family != AF_UNIX) {
    // Answers are written whole, so Nagle's algorithm could only delay them.
    const int yes = 1;
    setsockopt(socket.get(), IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
  }
  HandOver(std::move(socket), PeerName(address));
  return true;
}

void Listener::HandOver(OwnedSocket socket, std::string peer) {
  EventLoop* best = loops_[next_loop_ % loops_.size()].get();
  for (size_t i = 1; i < loops_.size(); ++i) {
    EventLoop* other = loops_[(next_loop_ + i) % loops_.size()].get();
    if (other->connection_count() < best->connection_count()) best = other;
  }
  ++next_loop_;
  // Count it now. Otherwise a burst of connections would all go to the same loop before it has
  // adopted the first.
  best->CountConnection();
  best->Post([best, socket = std::move(socket), &endpoint = endpoint_,
              peer = std::move(peer)]() mutable {
    best->Adopt(std::make_unique<Connection>(*best, socket.Release(), endpoint, std::move(peer)));
  });
}

}  // namespace penstock::net
