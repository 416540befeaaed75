// SPDX-License-Identifier: Apache-2.0
// A small gRPC client that can send more requests a second than a server answers.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/status.h"
#include "bench/endpoint.h"

struct nghttp2_session;

namespace penstock::bench {

// What all calls of a client have in common.
struct CallSettings {
  std::string path;  // "/package.Service/Method"
  std::string authority;
  std::vector<std::pair<std::string, std::string>> metadata;
  Duration deadline{};  // 0: none
};

// One answer. The views end with the callback.
struct Answer {
  StatusCode code = StatusCode::kUnknown;
  std::string_view message;  // of an error
  std::string_view body;     // the first message, if the client keeps bodies
  SteadyTime due;            // as given to Send
  SteadyTime at;             // when its last bytes were received
};

// One HTTP/2 connection, with any number of unary calls at a time. It never blocks. Messages are
// not compressed. One thread at a time.
class GrpcClient final {
 public:
  using OnAnswer = std::function<void(const Answer&)>;

  // `settings` and `message` outlive the client. `keep_bodies`: the answers have their messages.
  GrpcClient(Socket socket, const CallSettings& settings, bool keep_bodies, OnAnswer on_answer);
  ~GrpcClient();
  GrpcClient(const GrpcClient&) = delete;
  GrpcClient& operator=(const GrpcClient&) = delete;

  // Begins a call with `message`, which outlives the call and has the prefix of gRPC in front
  // (FramedMessage). The bytes leave with the next Flush. May be called by OnAnswer.
  void Send(const std::string& message, SteadyTime due);
  // Sends what the socket takes now. UNAVAILABLE: the connection is lost; then OnAnswer was called
  // for each call that had no answer.
  Status Flush();
  // Receives what is there, and calls OnAnswer. The same error; also for bytes that are not HTTP/2.
  Status Receive();

  int socket() const { return socket_.get(); }
  size_t in_flight() const { return in_flight_; }
  // How many calls the server takes at a time. The others wait here.
  uint32_t streams_max() const;
  // Then Send is not allowed.
  bool is_lost() const { return is_lost_; }
  // True if Flush left bytes, because the socket takes no more.
  bool has_output() const { return sent_ < output_.size(); }

 private:
  struct Call;
  struct Callbacks;

  Status Lose(std::string_view why);
  void End(Call& call, uint32_t http2_error);
  bool FillOutput();

  const CallSettings& settings_;
  const std::string timeout_;  // of the deadline, as gRPC writes it
  const bool keep_bodies_;
  const OnAnswer on_answer_;
  const Socket socket_;
  nghttp2_session* session_ = nullptr;
  std::vector<std::unique_ptr<Call>> calls_;
  std::vector<Call*> free_;
  size_t in_flight_ = 0;
  SteadyTime now_;      // when the bytes at hand were received
  std::string output_;  // frames, of which `sent_` bytes have left
  size_t sent_ = 0;
  bool is_lost_ = false;
  bool is_ending_ = false;     // the server takes no more calls here
  bool has_settings_ = false;  // the server has spoken HTTP/2
};

// `message` with the prefix of gRPC: not compressed, its length.
std::string FramedMessage(std::string_view message);

// Makes one call, and returns its answer's message or its error. Blocks, until the timeout.
StatusOr<std::string> CallOnce(const Endpoint& endpoint, const CallSettings& settings,
                               const std::string& framed, Duration timeout);

}  // namespace penstock::bench
