// SPDX-License-Identifier: Apache-2.0
// A server on a loopback port that plays what a test wants.
#pragma once

#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

namespace penstock_client {

// An HTTP answer.
std::string Http(std::string_view body, std::string_view status = "200 OK",
                 std::string_view headers = "");

// Reads requests, and does what `play` says. Thread-safe.
class ScriptedServer {
 public:
  // Plain data.
  struct Request {
    int connection = 0;  // counted from 0
    std::string head = {};
    std::string body = {};
  };
  // `number` counts the requests of all connections from 0. It returns the bytes of an answer, or
  // none to close the connection. A body is read before, unless `reads_bodies` is false.
  using Play =
      std::function<std::optional<std::string>(int socket, int number, const std::string& body)>;

  explicit ScriptedServer(Play play, bool reads_bodies = true);
  ~ScriptedServer();

  std::string url() const { return "http://127.0.0.1:" + std::to_string(port_); }
  int port() const { return port_; }
  std::vector<Request> requests() const;
  // Further connections are refused.
  void StopListening();

 private:
  void Accept();
  void Serve(int socket, int connection);
  bool ServeOne(int socket, int connection, std::string& received);

  const Play play_;
  const bool reads_bodies_;
  int listener_ = -1;
  int port_ = 0;

  mutable std::mutex mutex_;
  std::vector<Request> requests_;     // guarded by mutex_
  std::vector<int> sockets_;          // guarded by mutex_
  std::vector<std::thread> threads_;  // guarded by mutex_
  std::thread accept_;
};

}  // namespace penstock_client
