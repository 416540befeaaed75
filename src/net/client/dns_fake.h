// SPDX-License-Identifier: Apache-2.0
// A DNS server on loopback, for tests.
#pragma once

#include <arpa/inet.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cstdint>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace penstock::net {

// Answers each question for addresses of IPv4 with the same list. Thread-safe.
class FakeDns final {
 public:
  explicit FakeDns(std::vector<std::string> addresses = {})
      : socket_(socket(AF_INET, SOCK_DGRAM, 0)), addresses_(std::move(addresses)) {
    sockaddr_in own = {};
    own.sin_family = AF_INET;
    own.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof(own);
    bind(socket_, reinterpret_cast<sockaddr*>(&own), size);
    getsockname(socket_, reinterpret_cast<sockaddr*>(&own), &size);
    port_ = ntohs(own.sin_port);
    thread_ = std::thread([this] { Run(); });
  }
  ~FakeDns() {
    const std::string end;
    sockaddr_in own = {};
    own.sin_family = AF_INET;
    own.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    own.sin_port = htons(port_);
    sendto(socket_, end.data(), 0, 0, reinterpret_cast<sockaddr*>(&own), sizeof(own));
    thread_.join();
    close(socket_);
  }
  FakeDns(const FakeDns&) = delete;
  FakeDns& operator=(const FakeDns&) = delete;

  std::string server() const { return "127.0.0.1:" + std::to_string(port_); }
  // None: the name does not exist.
  void Set(std::vector<std::string> addresses) {
    const std::lock_guard lock(mutex_);
    addresses_ = std::move(addresses);
  }
  // It does not answer any more.
  void BeSilent(bool is_silent) {
    const std::lock_guard lock(mutex_);
    is_silent_ = is_silent;
  }
  int questions() const {
    const std::lock_guard lock(mutex_);
    return questions_;
  }

 private:
  void Run() {
    std::array<uint8_t, 512> input;
    for (;;) {
      sockaddr_in from = {};
      socklen_t size = sizeof(from);
      const ssize_t count = recvfrom(socket_, input.data(), input.size(), 0,
                                     reinterpret_cast<sockaddr*>(&from), &size);
      if (count == 0) return;
      if (count < 17) continue;
      const std::string answer =
          AnswerTo({reinterpret_cast<const char*>(input.data()), static_cast<size_t>(count)});
      if (!answer.empty())
        sendto(socket_, answer.data(), answer.size(), 0, reinterpret_cast<sockaddr*>(&from), size);
    }
  }
  // RFC 1035: the head, the question, and a record for each address.
  std::string AnswerTo(const std::string& message) {
    const std::lock_guard lock(mutex_);
    ++questions_;
    if (is_silent_) return "";
    const size_t end = message.find('\0', 12) + 5;  // of the question
    const std::string question = message.substr(12, end - 12);
    const bool is_ipv4 = question[question.size() - 3] == 1;
    std::string records;
    for (const std::string& address : addresses_) {
      in_addr bytes = {};
      inet_pton(AF_INET, address.c_str(), &bytes);
      records.append("\xc0\x0c\x00\x01\x00\x01\x00\x00\x00\x01\x00\x04", 12);
      records.append(reinterpret_cast<const char*>(&bytes), 4);
    }
    const auto count = static_cast<char>(is_ipv4 ? addresses_.size() : 0);
    std::string answer = message.substr(0, 2);
    answer += {'\x81', addresses_.empty() ? '\x83' : '\x80', 0, 1, 0, count, 0, 0, 0, 0};
    answer += question;
    if (is_ipv4) answer += records;
    return answer;
  }

  const int socket_;
  uint16_t port_ = 0;
  mutable std::mutex mutex_;
  std::vector<std::string> addresses_;
  bool is_silent_ = false;
  int questions_ = 0;
  std::thread thread_;
};

}  // namespace penstock::net
