// SPDX-License-Identifier: Apache-2.0
// A web server for tests. It sends what the test wants, also answers that are wrong.
#pragma once

#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <functional>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "base/mutex.h"
#include "base/os/loopback_listener.h"

namespace penstock {

// For calls that are never cancelled.
inline const std::atomic<bool> kNever = false;

// Calls `answer` with the head of each request, unchanged, and sends the bytes that it returns.
// Then closes the connection, unless the answer ends with one of the marks below.
//
//   FakeHttpServer server([](const std::string& head) { return FakeHttpServer::Ok("hello"); });
//   Ask("127.0.0.1", server.port());
//   EXPECT_EQ(server.heads().size(), 1);
//
// The bytes go out as they are, so a test can send wrong lengths, half an answer, or none. Each
// connection has its own thread, which calls `answer`. Thread-safe.
class FakeHttpServer final {
 public:
  using Answer = std::function<std::string(const std::string& head)>;
  // At the end of an answer: the connection accepts another request.
  static constexpr std::string_view kKeepOpen = "<keep>";
  // At the end of an answer: it is the last one, and the connection stays open until the client
  // closes it.
  static constexpr std::string_view kHalfClose = "<half>";

  // As an answer: sends nothing, and keeps the connection until the client closes it.
  static constexpr std::string_view kSilence = "<silence>";

  // At the end of an answer: sends a byte now and then, until the client closes the connection.
  static constexpr std::string_view kDrip = "<drip>";

  // Listens at a free port of the loopback interface, and runs until its destructor. `answer` may
  // be called on several threads at once.
  explicit FakeHttpServer(Answer answer)
      : answer_(std::move(answer)), listener_(ListenOnLoopback()) {
    thread_ = std::thread([this] { Run(); });
  }
  ~FakeHttpServer() {
    shutdown(listener_.socket, SHUT_RDWR);
    thread_.join();
    close(listener_.socket);
  }

  int port() const { return listener_.port; }
  // The heads of all requests so far, in the order in which they arrived.
  std::vector<std::string> heads() const {
    MutexLock lock(mutex_);
    return heads_;
  }

  // Format a correct answer. `headers` are whole lines, each with its line end.
  static std::string Ok(std::string_view body, std::string_view headers = "") {
    return Response("200 OK", body, headers);
  }
  static std::string Response(std::string_view status, std::string_view body,
                              std::string_view headers = "") {
    return "HTTP/1.1 " + std::string(status) +
           "\r\nContent-Length: " + std::to_string(body.size()) + "\r\n" + std::string(headers) +
           "\r\n" + std::string(body);
  }

 private:
  void Run() {
    std::vector<std::thread> connections;
    while (true) {
      const int connection = accept(listener_.socket, nullptr, nullptr);
      if (connection < 0) break;
      connections.emplace_back([this, connection] {
        while (Serve(connection)) {
        }
        close(connection);
      });
    }
    for (std::thread& thread : connections) thread.join();
  }
  // Returns false if the connection is over.
  bool Serve(int connection) {
    std::string head;
    char byte = 0;
    while (!head.ends_with("\r\n\r\n")) {
      if (recv(connection, &byte, 1, 0) != 1) return false;
      head += byte;
    }
    {
      MutexLock lock(mutex_);
      heads_.push_back(head);
    }
    std::string bytes = answer_(head);
    const bool stays = bytes.ends_with(kKeepOpen);
    const bool is_silent = bytes == kSilence;
    const bool drips = bytes.ends_with(kDrip);
    const bool waits = is_silent || bytes.ends_with(kHalfClose);
    if (is_silent) bytes.clear();
    if (drips) bytes.resize(bytes.size() - kDrip.size());
    if (stays) bytes.resize(bytes.size() - kKeepOpen.size());
    if (waits && !is_silent) bytes.resize(bytes.size() - kHalfClose.size());
    send(connection, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    // The pause is short against every time limit of the client, so the client sees a slow server
    // and never a silent one.
    while (drips && send(connection, "x", 1, MSG_NOSIGNAL) == 1) {
      std::this_thread::sleep_for(std::chrono::milliseconds(2));
    }
    if (waits && !is_silent) shutdown(connection, SHUT_WR);
    while (waits && recv(connection, &byte, 1, 0) == 1) {
    }
    return stays;
  }

  const Answer answer_;
  const LoopbackListener listener_;
  mutable Mutex mutex_;
  std::vector<std::string> heads_ GUARDED_BY(mutex_);
  std::thread thread_;
};

}  // namespace penstock
