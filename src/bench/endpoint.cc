// SPDX-License-Identifier: Apache-2.0
#include "bench/endpoint.h"

#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <system_error>

namespace penstock::bench {
namespace {

// Returns 0 or the error number.
int ConnectTo(int socket, const std::string& address, Duration timeout) {
  if (connect(socket, reinterpret_cast<const sockaddr*>(address.data()),
              static_cast<socklen_t>(address.size())) == 0)
    return 0;
  if (errno != EINPROGRESS) return errno;
  pollfd ready{.fd = socket, .events = POLLOUT, .revents = 0};
  const auto ms = std::chrono::duration_cast<std::chrono::milliseconds>(timeout).count();
  const int count = poll(&ready, 1, static_cast<int>(std::max<int64_t>(ms, 1)));
  if (count <= 0) return count == 0 ? ETIMEDOUT : errno;
  int error = 0;
  socklen_t size = sizeof error;
  if (getsockopt(socket, SOL_SOCKET, SO_ERROR, &error, &size) != 0) return errno;
  return error;
}

}  // namespace

Socket::~Socket() {
  if (descriptor_ >= 0) close(descriptor_);
}

StatusOr<Endpoint> Endpoint::Resolve(std::string_view target) {
  const size_t colon = target.rfind(':');
  std::string host(target.substr(0, std::min(colon, target.size())));
  const std::string port(colon == std::string_view::npos ? "" : target.substr(colon + 1));
  uint16_t number = 0;
  const char* const end = port.data() + port.size();
  const auto [stop, is_no_number] = std::from_chars(port.data(), end, number);
  if (host.empty() || is_no_number != std::errc() || stop != end || number == 0)
    return InvalidArgument(
        "--target={}: expected HOST:PORT, such as localhost:8500, with a port from 1 to 65535",
        target);
  if (host.starts_with('[') && host.ends_with(']')) host = host.substr(1, host.size() - 2);
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  if (const int error = getaddrinfo(host.c_str(), port.c_str(), &hints, &found); error != 0)
    return InvalidArgument("--target={}: the host cannot be found: {}", target,
                           gai_strerror(error));
  Endpoint endpoint;
  endpoint.target_ = target;
  for (const addrinfo* at = found; at != nullptr; at = at->ai_next) {
    endpoint.addresses_.emplace_back(
        at->ai_family, std::string(reinterpret_cast<const char*>(at->ai_addr), at->ai_addrlen));
  }
  freeaddrinfo(found);
  return endpoint;
}

StatusOr<Socket> Endpoint::Connect(Duration timeout) const {
  int error = 0;
  for (const auto& [family, address] : addresses_) {
    Socket socket(::socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    error = socket.get() < 0 ? errno : ConnectTo(socket.get(), address, timeout);
    if (error != 0) continue;
    const int on = 1;
    setsockopt(socket.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    return socket;
  }
  return Error(StatusCode::kUnavailable, "cannot connect to {}: {}; is the server up?", target_,
               std::strerror(error));
}

}  // namespace penstock::bench
