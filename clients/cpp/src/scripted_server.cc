// SPDX-License-Identifier: Apache-2.0
#include "scripted_server.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <cstdlib>
#include <utility>

namespace penstock_client {
namespace {

// Receives until `received` has `size` bytes. False: the client has left.
bool Receive(int socket, std::string& received, size_t size) {
  char bytes[1 << 16];
  while (received.size() < size) {
    const ssize_t count = recv(socket, bytes, sizeof(bytes), 0);
    if (count <= 0) return false;
    received.append(bytes, static_cast<size_t>(count));
  }
  return true;
}

std::string LowerCase(std::string text) {
  std::ranges::transform(text, text.begin(), [](unsigned char c) { return std::tolower(c); });
  return text;
}

}  // namespace

std::string Http(std::string_view body, std::string_view status, std::string_view headers) {
  return "HTTP/1.1 " + std::string(status) + "\r\nContent-Length: " + std::to_string(body.size()) +
         "\r\n" + std::string(headers) + "\r\n" + std::string(body);
}

ScriptedServer::ScriptedServer(Play play, bool reads_bodies)
    : play_(std::move(play)), reads_bodies_(reads_bodies) {
  listener_ = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof(address);
  if (bind(listener_, reinterpret_cast<sockaddr*>(&address), size) != 0 ||
      listen(listener_, 64) != 0 ||
      getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size) != 0)
    std::abort();
  port_ = ntohs(address.sin_port);
  accept_ = std::thread([this] { Accept(); });
}

ScriptedServer::~ScriptedServer() {
  StopListening();
  accept_.join();
  close(listener_);
  std::vector<std::thread> threads;
  {
    const std::lock_guard lock(mutex_);
    for (const int socket : sockets_) shutdown(socket, SHUT_RDWR);
    threads = std::move(threads_);
  }
  for (std::thread& thread : threads) thread.join();
  for (const int socket : sockets_) close(socket);
}

void ScriptedServer::StopListening() { shutdown(listener_, SHUT_RDWR); }

std::vector<ScriptedServer::Request> ScriptedServer::requests() const {
  const std::lock_guard lock(mutex_);
  return requests_;
}

void ScriptedServer::Accept() {
  for (;;) {
    const int socket = accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
    if (socket < 0) return;
    const std::lock_guard lock(mutex_);
    const int connection = static_cast<int>(sockets_.size());
    sockets_.push_back(socket);
    threads_.emplace_back([this, socket, connection] { Serve(socket, connection); });
  }
}

void ScriptedServer::Serve(int socket, int connection) {
  std::string received;
  while (ServeOne(socket, connection, received)) {
  }
  shutdown(socket, SHUT_RDWR);  // it is closed with the server, so that no other gets its number
}

bool ScriptedServer::ServeOne(int socket, int connection, std::string& received) {
  size_t end = 0;
  while ((end = received.find("\r\n\r\n")) == std::string::npos)
    if (!Receive(socket, received, received.size() + 1)) return false;
  end += 4;
  const std::string head = received.substr(0, end);
  const size_t field = LowerCase(head).find("\r\ncontent-length:");
  const size_t length = reads_bodies_ && field != std::string::npos
                            ? std::strtoul(head.c_str() + field + 17, nullptr, 10)
                            : 0;
  if (!Receive(socket, received, end + length)) return false;
  const std::string body = received.substr(end, length);
  received.erase(0, end + length);
  int number = 0;
  {
    const std::lock_guard lock(mutex_);
    number = static_cast<int>(requests_.size());
    requests_.push_back({connection, head, body});
  }
  const std::optional<std::string> answer = play_(socket, number, body);
  if (!answer) return false;
  for (size_t sent = 0; sent < answer->size();) {
    const ssize_t count = send(socket, answer->data() + sent, answer->size() - sent, MSG_NOSIGNAL);
    if (count < 0) return false;
    sent += static_cast<size_t>(count);
  }
  return reads_bodies_ && LowerCase(*answer).find("connection: close") == std::string::npos;
}

}  // namespace penstock_client
