// SPDX-License-Identifier: Apache-2.0
// The peer for REST and large-tensor figures: the least that an HTTP/1.1 server can do with a
// request of known size.
//   http_echo epoll PORT ANSWER_BYTES     one thread, epoll, keep-alive; each answer has
//                                         ANSWER_BYTES bytes of body
//   http_echo large PORT 0                one blocking connection at a time; the answer is the
//                                         request's body, sent from the buffer it was received in
//   http_echo prebuilt PORT ANSWER_BYTES  a blocking thread for each connection; the body is read
//                                         and dropped, and the answer is always the same
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

namespace {

// Where the body begins in `text` and how long it is; false while the head is incomplete.
bool ParseHead(std::string_view text, size_t* body_begin, size_t* body_bytes) {
  const size_t end = text.find("\r\n\r\n");
  if (end == std::string_view::npos) return false;
  *body_begin = end + 4;
  *body_bytes = 0;
  for (const char* name : {"content-length: ", "Content-Length: "}) {
    const size_t at = text.substr(0, end).find(name);
    if (at != std::string_view::npos)
      *body_bytes = std::strtoull(text.data() + at + 16, nullptr, 10);
  }
  return true;
}

std::string Head(size_t body_bytes) {
  return "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: " +
         std::to_string(body_bytes) + "\r\n\r\n";
}

int Listen(int port) {
  const int listener = socket(AF_INET, SOCK_STREAM, 0);
  const int on = 1;
  setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (bind(listener, reinterpret_cast<sockaddr*>(&address), sizeof(address)) != 0 ||
      listen(listener, 128) != 0) {
    std::perror("http_echo: listen");
    std::exit(1);
  }
  return listener;
}

int Accept(int listener) {
  const int fd = accept(listener, nullptr, nullptr);
  const int on = 1;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
  return fd;
}

// One keep-alive connection of the epoll server. Owned by its loop.
struct Connection {
  int fd = -1;
  std::string received;
};

// Answers every whole request in `connection.received`. False when the peer is gone.
bool Serve(Connection& connection, const std::string& answer) {
  char chunk[16384];
  const ssize_t got = recv(connection.fd, chunk, sizeof(chunk), 0);
  if (got <= 0) return false;
  connection.received.append(chunk, static_cast<size_t>(got));
  size_t body_begin = 0;
  size_t body_bytes = 0;
  while (ParseHead(connection.received, &body_begin, &body_bytes) &&
         connection.received.size() >= body_begin + body_bytes) {
    if (send(connection.fd, answer.data(), answer.size(), MSG_NOSIGNAL) < 0) return false;
    connection.received.erase(0, body_begin + body_bytes);
  }
  return true;
}

void RunEpoll(int listener, size_t answer_bytes) {
  const std::string answer = Head(answer_bytes) + std::string(answer_bytes, ' ');
  const int poll = epoll_create1(0);
  epoll_event event{EPOLLIN, {.ptr = nullptr}};
  epoll_ctl(poll, EPOLL_CTL_ADD, listener, &event);
  epoll_event ready[64];
  for (;;) {
    const int count = epoll_wait(poll, ready, 64, -1);
    for (int i = 0; i < count; ++i) {
      auto* connection = static_cast<Connection*>(ready[i].data.ptr);
      if (connection == nullptr) {
        connection = new Connection{Accept(listener), {}};
        event.data.ptr = connection;
        epoll_ctl(poll, EPOLL_CTL_ADD, connection->fd, &event);
      } else if (!Serve(*connection, answer)) {
        close(connection->fd);
        delete connection;
      }
    }
  }
}

bool SendAll(int fd, const std::string& head, const char* body, size_t body_bytes) {
  iovec pieces[2] = {{const_cast<char*>(head.data()), head.size()},
                     {const_cast<char*>(body), body_bytes}};
  size_t first = 0;
  while (first < 2) {
    msghdr message{};
    message.msg_iov = pieces + first;
    message.msg_iovlen = 2 - first;
    ssize_t sent = sendmsg(fd, &message, MSG_NOSIGNAL);
    if (sent < 0) return false;
    while (first < 2 && static_cast<size_t>(sent) >= pieces[first].iov_len) {
      sent -= static_cast<ssize_t>(pieces[first++].iov_len);
    }
    if (first < 2) {
      pieces[first].iov_base = static_cast<char*>(pieces[first].iov_base) + sent;
      pieces[first].iov_len -= static_cast<size_t>(sent);
    }
  }
  return true;
}

void RunLarge(int listener) {
  constexpr size_t kBufferBytes = 256u << 20;
  const std::unique_ptr<char[]> buffer(new char[kBufferBytes]);
  for (;;) {
    const int fd = Accept(listener);
    size_t filled = 0;
    size_t body_begin = 0;
    size_t body_bytes = 0;
    bool has_head = false;
    for (;;) {
      const ssize_t got = recv(fd, buffer.get() + filled, kBufferBytes - filled, 0);
      if (got <= 0) break;
      filled += static_cast<size_t>(got);
      if (!has_head) has_head = ParseHead({buffer.get(), filled}, &body_begin, &body_bytes);
      if (!has_head || filled < body_begin + body_bytes) continue;
      if (!SendAll(fd, Head(body_bytes), buffer.get() + body_begin, body_bytes)) break;
      filled = 0;
      has_head = false;
    }
    close(fd);
  }
}

void ServePrebuilt(int fd, const std::string& head, const std::string& body) {
  // As large as what a server may read at once. It is read over and over.
  std::vector<char> buffer(1 << 20);
  size_t filled = 0;
  for (;;) {
    size_t body_begin = 0;
    size_t body_bytes = 0;
    while (!ParseHead({buffer.data(), filled}, &body_begin, &body_bytes)) {
      const ssize_t got = recv(fd, buffer.data() + filled, buffer.size() - filled, 0);
      if (got <= 0) return;
      filled += static_cast<size_t>(got);
    }
    for (size_t read = filled - body_begin; read < body_bytes;) {
      const ssize_t got = recv(fd, buffer.data(), std::min(buffer.size(), body_bytes - read), 0);
      if (got <= 0) return;
      read += static_cast<size_t>(got);
    }
    filled = 0;
    if (!SendAll(fd, head, body.data(), body.size())) return;
  }
}

void RunPrebuilt(int listener, size_t answer_bytes) {
  const std::string head = Head(answer_bytes);
  const std::string body(answer_bytes, 'a');
  for (;;) {
    const int fd = Accept(listener);
    std::thread([&head, &body, fd] {
      ServePrebuilt(fd, head, body);
      close(fd);
    }).detach();
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 4) {
    std::fprintf(stderr, "usage: http_echo epoll|large|prebuilt PORT ANSWER_BYTES\n");
    return 2;
  }
  const int listener = Listen(std::atoi(argv[2]));
  if (std::string_view(argv[1]) == "epoll") {
    RunEpoll(listener, std::strtoull(argv[3], nullptr, 10));
  } else if (std::string_view(argv[1]) == "prebuilt") {
    RunPrebuilt(listener, std::strtoull(argv[3], nullptr, 10));
  } else {
    RunLarge(listener);
  }
}
