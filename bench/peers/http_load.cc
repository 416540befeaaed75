// SPDX-License-Identifier: Apache-2.0
// A client for large bodies: each connection is a thread that sends the same request and reads the
// answer, over HTTP/1.1 with keep-alive. It does as little else as it can.
//   http_load PORT PATH BODY_FILE REQUESTS CONNECTIONS
// Prints the seconds that all requests took together. Fails unless each answer is a 200.
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

namespace {

[[noreturn]] void Fail(const char* what) {
  std::perror(what);
  std::_Exit(1);
}

int Connect(int port) {
  const int fd = socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof(address)) != 0) Fail("connect");
  const int on = 1;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
  return fd;
}

void SendAll(int fd, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t sent = send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent <= 0) Fail("send");
    bytes.remove_prefix(static_cast<size_t>(sent));
  }
}

// Reads one answer, and drops its body.
void ReadAnswer(int fd, std::vector<char>& buffer) {
  size_t filled = 0, end = std::string_view::npos;
  while (end == std::string_view::npos) {
    const ssize_t got = recv(fd, buffer.data() + filled, buffer.size() - filled, 0);
    if (got <= 0) Fail("recv");
    filled += static_cast<size_t>(got);
    end = std::string_view(buffer.data(), filled).find("\r\n\r\n");
  }
  const std::string_view head(buffer.data(), end);
  const size_t at = head.find("content-length: ");
  if (!head.starts_with("HTTP/1.1 200") || at == head.npos) {
    std::fprintf(stderr, "%.*s\n", static_cast<int>(std::min<size_t>(filled, 2000)), buffer.data());
    std::_Exit(1);
  }
  const size_t body_bytes = std::strtoull(head.data() + at + 16, nullptr, 10);
  for (size_t read = filled - end - 4; read < body_bytes;) {
    const ssize_t got = recv(fd, buffer.data(), std::min(buffer.size(), body_bytes - read), 0);
    if (got <= 0) Fail("recv");
    read += static_cast<size_t>(got);
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 6) {
    std::fprintf(stderr, "usage: http_load PORT PATH BODY_FILE REQUESTS CONNECTIONS\n");
    return 2;
  }
  std::ifstream file(argv[3], std::ios::binary);
  const std::string body{std::istreambuf_iterator<char>(file), {}};
  const std::string request =
      std::string("POST ") + argv[2] +
      " HTTP/1.1\r\nHost: localhost\r\nContent-Length: " + std::to_string(body.size()) +
      "\r\n\r\n" + body;
  std::atomic<int> left = std::atoi(argv[4]);
  std::vector<std::thread> threads;
  const auto start = std::chrono::steady_clock::now();
  for (int i = 0; i < std::atoi(argv[5]); ++i) {
    threads.emplace_back([&] {
      const int fd = Connect(std::atoi(argv[1]));
      std::vector<char> buffer(1 << 20);
      while (left.fetch_sub(1) > 0) {
        SendAll(fd, request);
        ReadAnswer(fd, buffer);
      }
      close(fd);
    });
  }
  for (std::thread& thread : threads) thread.join();
  const std::chrono::duration<double> time = std::chrono::steady_clock::now() - start;
  std::printf("%.6f\n", time.count());
}
