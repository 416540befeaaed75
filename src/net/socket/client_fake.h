// SPDX-License-Identifier: Apache-2.0
// A blocking client of raw bytes, and a route to try it with, for tests over real sockets.
#pragma once

#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <charconv>
#include <string>
#include <string_view>
#include <utility>

#include "net/router.h"

namespace penstock::net {

// A route that answers with the body of the request.
inline HttpRoute EchoRoute() {
  return {.path = "/echo",
          .handler =
              [](HttpCallRef call) {
                HttpResponse response;
                response.body.Append(call->body());
                call->Respond(std::move(response));
              },
          .compress = false};
}

// One connection to a server on this machine. Nothing is hidden: the test writes the bytes of the
// protocol itself, so it can also write wrong ones.
//
//   SocketClient client(server->ports()[0]);
//   EXPECT_THAT(client.Ask("GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n"), StartsWith("HTTP/1.1
//   200"));
//
// One thread may send while another reads.
class SocketClient final {
 public:
  // Connects at once; see is_connected. Every call blocks, and there is no time limit: a server
  // that does not answer ends the test by the time limit of the test program.
  explicit SocketClient(int port) : socket_(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address = {};
    address.sin_family = AF_INET;
    address.sin_port = htons(static_cast<uint16_t>(port));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    Connect(&address, sizeof address);
  }
  explicit SocketClient(const std::string& unix_path)
      : socket_(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_un address = {};
    address.sun_family = AF_UNIX;
    unix_path.copy(address.sun_path, sizeof address.sun_path - 1);
    Connect(&address, sizeof address);
  }
  SocketClient(SocketClient&& other) noexcept
      : socket_(std::exchange(other.socket_, -1)), is_connected_(other.is_connected_) {}
  SocketClient& operator=(SocketClient&&) = delete;
  ~SocketClient() {
    if (socket_ >= 0) close(socket_);
  }

  bool is_connected() const { return is_connected_; }
  // The file descriptor, for socket options. Still owned by the client.
  int handle() const { return socket_; }

  // Sends all bytes. Stops without an error if the server has closed, as tests of refusals expect.
  void Send(std::string_view bytes) {
    while (!bytes.empty()) {
      const ssize_t sent = send(socket_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (sent <= 0) return;
      bytes.remove_prefix(static_cast<size_t>(sent));
    }
  }
  // Reads one answer with a content-length. Returns less if the server closes.
  std::string ReadAnswer() {
    std::string answer;
    size_t wanted = std::string::npos;
    while (answer.size() < wanted) {
      if (!ReadSome(answer)) break;
      const size_t end = answer.find("\r\n\r\n");
      if (wanted == std::string::npos && end != std::string::npos)
        wanted = end + 4 + ContentLength(answer.substr(0, end));
    }
    return answer;
  }
  // Sends a request and returns its answer, head and body.
  std::string Ask(std::string_view request) {
    Send(request);
    return ReadAnswer();
  }
  // Returns everything until the server closes its side. Blocks for ever if it does not.
  std::string ReadUntilClosed() {
    std::string all;
    while (ReadSome(all)) {
    }
    return all;
  }
  // Closes with a reset.
  void Reset() {
    // With a linger time of 0, close sends a reset and no FIN.
    const linger hard = {1, 0};
    setsockopt(socket_, SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
    close(std::exchange(socket_, -1));
  }

 private:
  void Connect(const void* address, socklen_t size) {
    is_connected_ = connect(socket_, static_cast<const sockaddr*>(address), size) == 0;
  }
  bool ReadSome(std::string& to) {
    const size_t before = to.size();
    constexpr size_t kStep = 256 * 1024;
    to.resize(before + kStep);
    const ssize_t bytes = recv(socket_, to.data() + before, kStep, 0);
    to.resize(before + (bytes > 0 ? static_cast<size_t>(bytes) : 0));
    return bytes > 0;
  }
  // Finds the field in lower case only, as the server writes it. 0 if there is none.
  static size_t ContentLength(std::string_view head) {
    constexpr std::string_view kName = "content-length: ";
    const size_t at = head.find(kName);
    size_t length = 0;
    if (at != std::string_view::npos)
      std::from_chars(head.data() + at + kName.size(), head.data() + head.size(), length);
    return length;
  }

  int socket_;
  bool is_connected_ = false;
};

}  // namespace penstock::net
