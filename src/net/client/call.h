// SPDX-License-Identifier: Apache-2.0
// One unary gRPC call to another server.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "base/buffer.h"
#include "base/clock.h"
#include "base/request_memory.h"
#include "base/status.h"
#include "net/loop/timer_wheel.h"
#include "net/router.h"

namespace penstock::net {

// What is sent. Plain data.
struct UnaryRequest {
  std::string path;  // "/tensorflow.serving.PredictionService/Predict"
  ByteChain message;
  std::vector<std::pair<std::string, std::string>> metadata = {};  // names in lower case
  SteadyTime deadline = kNoDeadline;  // what is left of it goes to the server
  uint64_t answer_bytes_max = UINT64_MAX;
  RequestBudget budget = {};          // counts the answer; null: nobody does
  LandingFunction landing = nullptr;  // Null: the start of the answer is aligned.
};

// What became of it. Plain data.
struct UnaryAnswer {
  Status status;
  Slice message = {};  // if the status is OK
  // An error: the server has surely not begun to handle the call, so that another try does no harm.
  bool is_unprocessed = false;
  // The server itself has answered with this status. False: the connection failed, or the call was
  // given up.
  bool is_from_server = false;
};

// Called once, on the thread of the loop. Must not block.
using UnaryDone = absl::AnyInvocable<void(UnaryAnswer&&)>;

// A call that is under way: its request, and what has arrived of its answer. GrpcChannel owns it,
// and ClientSession fills it. Owned by loop.
class ClientCall final : public WheelTimer {
 public:
  // `on_deadline` gets the call whose deadline has passed.
  ClientCall(uint64_t call_id, UnaryRequest&& sent, UnaryDone&& callback,
             absl::AnyInvocable<void(ClientCall&)> on_deadline)
      : id(call_id),
        request(std::move(sent)),
        done(std::move(callback)),
        on_deadline_(std::move(on_deadline)) {}

  const uint64_t id;
  UnaryRequest request;
  UnaryDone done;

  // For the session.
  int32_t stream = 0;        // 0: not sent yet
  bool is_sent = false;      // its head may have reached the server
  bool is_finished = false;  // its answer is known, and waits to be given
  size_t slice = 0;          // what of the request was sent: up to `offset` of this slice
  size_t offset = 0;

  // The head and the trailers of the answer.
  int http_status = 0;
  bool is_grpc = false;
  int grpc_status = -1;  // -1: none has arrived
  std::string grpc_message;
  size_t header_bytes = 0;

  // The message of the answer.
  size_t prefix_bytes = 0;  // of the five
  std::byte prefix[5] = {};
  uint64_t message_bytes = 0;  // its length, once the prefix is there
  uint64_t received = 0;       // of these
  size_t start = 0;            // where it begins in the buffer
  bool is_landed = false;
  BufferRef buffer;

  UnaryAnswer answer;  // if is_finished

 private:
  void OnTimer() override { on_deadline_(*this); }

  absl::AnyInvocable<void(ClientCall&)> on_deadline_;
};

}  // namespace penstock::net
