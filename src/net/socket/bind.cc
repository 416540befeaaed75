// SPDX-License-Identifier: Apache-2.0
// Makes listening sockets.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "net/socket/listener.h"

namespace penstock::net {
namespace {

// Connections that wait to be accepted. The kernel cuts it to net.core.somaxconn.
constexpr int kBacklog = 4096;

// An address to bind to. Immutable.
struct Address {
  sockaddr_storage storage = {};
  socklen_t size = 0;
  const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&storage); }
};

StatusOr<Address> ParseIp(const std::string& text, int port) {
  Address address;
  auto& v6 = reinterpret_cast<sockaddr_in6&>(address.storage);
  auto& v4 = reinterpret_cast<sockaddr_in&>(address.storage);
  if (inet_pton(AF_INET6, text.c_str(), &v6.sin6_addr) == 1) {
    v6.sin6_family = AF_INET6;
    v6.sin6_port = htons(static_cast<uint16_t>(port));
    address.size = sizeof v6;
  } else if (inet_pton(AF_INET, text.c_str(), &v4.sin_addr) == 1) {
    v4.sin_family = AF_INET;
    v4.sin_port = htons(static_cast<uint16_t>(port));
    address.size = sizeof v4;
  } else {
    return InvalidArgument(
        "'{}' is not an IP address to listen on; give one like 127.0.0.1, 0.0.0.0 or ::", text);
  }
  return address;
}

Status SystemError(int error, const std::string& where) {
  const StatusCode code =
      error == EADDRINUSE ? StatusCode::kUnavailable : StatusCode::kInvalidArgument;
  return Error(code, "cannot listen on {}: {}", where, std::strerror(error));
}

StatusOr<BoundSocket> BindIp(const std::string& ip, int port) {
  ASSIGN_OR_RETURN(const Address address, ParseIp(ip, port));
  const std::string where = fmt::format("{} port {}", ip, port);
  OwnedSocket socket(
      ::socket(address.storage.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (socket.get() < 0) return SystemError(errno, where);
  const int yes = 1;
  const int no = 0;
  // Connections of the last server may be in TIME_WAIT for a minute. Without this option a restart
  // would fail so long.
  setsockopt(socket.get(), SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
  if (address.storage.ss_family == AF_INET6)
    // "::" shall serve IPv4 as well, whatever the system's default is.
    setsockopt(socket.get(), IPPROTO_IPV6, IPV6_V6ONLY, &no, sizeof no);
  if (bind(socket.get(), address.get(), address.size) != 0) return SystemError(errno, where);
  sockaddr_in6 bound = {};
  socklen_t size = sizeof bound;
  getsockname(socket.get(), reinterpret_cast<sockaddr*>(&bound), &size);
  // The port has the same offset for both address families.
  return BoundSocket{std::move(socket), ntohs(bound.sin6_port)};
}

// The default address is "::". Many containers have no IPv6, and the server must start there
// without an option. A bind to any port shows it: the socket alone can be made even if IPv6 is
// disabled.
bool HasIpv6() {
  const OwnedSocket socket(::socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (socket.get() < 0) return false;
  sockaddr_in6 any = {};
  any.sin6_family = AF_INET6;
  return bind(socket.get(), reinterpret_cast<const sockaddr*>(&any), sizeof any) == 0;
}

StatusOr<BoundSocket> BindUnix(const std::string& path, bool is_for_owner) {
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path)
    return InvalidArgument("the unix socket path {} is longer than {} bytes", path,
                           sizeof address.sun_path - 1);
  path.copy(address.sun_path, path.size());
  struct stat info = {};
  if (lstat(path.c_str(), &info) == 0) {
    if (!S_ISSOCK(info.st_mode)) return InvalidArgument("{} exists and is not a socket", path);
    // The file is from a server that was killed, or from one that this server replaces. The
    // replaced server keeps its connections, but gets no new ones.
    unlink(path.c_str());
  }
  OwnedSocket socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  // Before the bind, so that the file never exists with more rights.
  if (is_for_owner) fchmod(socket.get(), S_IRUSR | S_IWUSR);
  if (bind(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
    return SystemError(errno, path);
  // Remember the file. A later server may replace it, and this one must not remove that server's
  // file at its end.
  lstat(path.c_str(), &info);
  return BoundSocket{std::move(socket), 0, info.st_ino};
}

}  // namespace

OwnedSocket::~OwnedSocket() {
  if (socket_ >= 0) close(socket_);
}

StatusOr<BoundSocket> Bind(const ListenOptions& options) {
  if (!options.unix_path.empty()) return BindUnix(options.unix_path, options.is_admin);
  if (options.port < 0 || options.port > 65535)
    return InvalidArgument("{} is not a port; ports are 0 to 65535", options.port);
  if (options.address == "::" && !HasIpv6()) return BindIp("0.0.0.0", options.port);
  return BindIp(options.address, options.port);
}

Status Listen(int socket, const ListenOptions& options) {
  if (listen(socket, kBacklog) == 0) return OkStatus();
  const int error = errno;
  return SystemError(error, options.unix_path.empty()
                                ? fmt::format("{} port {}", options.address, options.port)
                                : options.unix_path);
}

}  // namespace penstock::net
