// SPDX-License-Identifier: Apache-2.0
// A node of a cluster that does what a test wants: on a port of loopback, with a thread for each
// connection.
#pragma once

#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <functional>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "base/mutex.h"
#include "base/os/loopback_listener.h"
#include "redis/resp.h"
#include "redis/slot_map.h"

namespace penstock::redis {

// These make answers.
inline std::string Bulk(std::string_view text) {
  std::string bulk;
  AppendArgument(text, bulk);
  return bulk;
}
inline std::string Slots(std::vector<std::pair<int, int>> ranges,
                         const std::vector<std::vector<Address>>& nodes) {
  std::string answer = "*" + std::to_string(ranges.size()) + "\r\n";
  for (size_t i = 0; i < ranges.size(); ++i) {
    answer += "*" + std::to_string(2 + nodes[i].size()) +
              "\r\n:" + std::to_string(ranges[i].first) +
              "\r\n:" + std::to_string(ranges[i].second) + "\r\n";
    for (const Address& node : nodes[i])
      answer += "*3\r\n" + Bulk(node.host) + ":" + std::to_string(node.port) + "\r\n" + Bulk("id");
  }
  return answer;
}

// What a fake does with a command.
struct FakeAnswer {
  std::string bytes;  // as they are sent
  bool closes = false;
};
inline constexpr std::string_view kOk = "+OK\r\n";

// Gives each command to a function, on the thread of its connection. Thread-safe.
class RedisFake final {
 public:
  using Command = std::vector<std::string>;
  using Handler = std::function<FakeAnswer(const Command&)>;

  explicit RedisFake(Handler handler)
      : listener_(ListenOnLoopback()), handler_(std::move(handler)) {
    acceptor_ = std::thread([this] { Accept(); });
  }
  ~RedisFake() { Stop(); }

  Address address() const { return {"127.0.0.1", listener_.port}; }
  void SetHandler(Handler handler) EXCLUDES(mutex_) {
    MutexLock lock(mutex_);
    handler_ = std::move(handler);
  }
  // Commands with this name that have come.
  int CountOf(std::string_view name) EXCLUDES(mutex_) {
    MutexLock lock(mutex_);
    int count = 0;
    for (const std::string& command : names_) count += command == name ? 1 : 0;
    return count;
  }
  // Closes all connections, and takes no more: the node has died.
  void Stop() EXCLUDES(mutex_) {
    {
      MutexLock lock(mutex_);
      if (std::exchange(stopped_, true)) return;
      for (const int socket : sockets_) ::shutdown(socket, SHUT_RDWR);
    }
    ::shutdown(listener_.socket, SHUT_RDWR);
    acceptor_.join();
    for (std::thread& thread : threads_) thread.join();
    ::close(listener_.socket);
  }

 private:
  void Accept() EXCLUDES(mutex_) {
    for (;;) {
      const int socket = ::accept(listener_.socket, nullptr, nullptr);
      if (socket < 0) return;
      MutexLock lock(mutex_);
      if (stopped_) {
        ::close(socket);
        return;
      }
      sockets_.push_back(socket);
      threads_.emplace_back([this, socket] {
        Serve(socket);
        ::shutdown(socket, SHUT_RDWR);
      });
    }
  }

  void Serve(int socket) EXCLUDES(mutex_) {
    RespReader reader(1 << 20);
    Command command;
    for (;;) {
      const std::span<char> space = reader.Space();
      const ssize_t size = ::recv(socket, space.data(), space.size(), 0);
      if (size <= 0) return;
      reader.Added(static_cast<size_t>(size));
      Token token;
      while (reader.Next(token) == RespReader::Result::kToken) {
        if (token.kind == TokenKind::kBulk) command.emplace_back(token.text);
        if (!reader.answer_has_ended()) continue;
        Handler handler;
        {
          MutexLock lock(mutex_);
          names_.push_back(command[0]);
          handler = handler_;
        }
        const FakeAnswer answer = handler(std::exchange(command, {}));
        if (!answer.bytes.empty())
          (void)::send(socket, answer.bytes.data(), answer.bytes.size(), MSG_NOSIGNAL);
        if (answer.closes) return;
      }
    }
  }

  const LoopbackListener listener_;
  std::thread acceptor_;
  std::vector<std::thread> threads_;  // of the acceptor until it has ended
  Mutex mutex_;
  Handler handler_ GUARDED_BY(mutex_);
  std::vector<int> sockets_ GUARDED_BY(mutex_);
  std::vector<std::string> names_ GUARDED_BY(mutex_);
  bool stopped_ GUARDED_BY(mutex_) = false;
};

}  // namespace penstock::redis
