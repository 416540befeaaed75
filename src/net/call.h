// SPDX-License-Identifier: Apache-2.0
// One exchange with a client, as a front end sees it: an HTTP request to be answered once, or a
// gRPC call.
//
// Threads: a handler is started on the connection's event loop. Calls are reference-counted and may
// be kept and answered from any thread (the answer is then handed to the loop); an answer given on
// the loop goes out with the loop's next flush. When the client goes away or resets, the cancel
// token fires; answers are then dropped, which is not an error. Dropping the last reference without
// an answer answers INTERNAL / 500.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "base/buffer.h"
#include "base/cancel.h"
#include "base/clock.h"
#include "base/status.h"
#include "net/headers.h"

namespace penstock::net {

// Metadata or trailers to send. Names in lower case.
using OwnedHeaders = std::vector<std::pair<std::string, std::string>>;

// What both kinds of call have. Thread-safe but for what is said below.
class Call {
 public:
  const RequestHead& head() const { return head_; }
  // When the head had arrived.
  SteadyTime start() const { return start_; }
  // From grpc-timeout, or the configured REST timeout after the request was complete; kNoDeadline
  // if neither.
  SteadyTime deadline() const { return deadline_; }
  // Fires when the client resets or leaves, and when the deadline passes on a call that is still
  // open.
  CancelToken& cancel() { return cancel_; }
  // Unique in this process.
  uint64_t request_id() const { return request_id_; }

  void Ref() { refs_.fetch_add(1, std::memory_order_relaxed); }
  void Unref() {
    if (refs_.fetch_sub(1, std::memory_order_acq_rel) == 1) Destroy();
  }

 protected:
  Call() = default;
  virtual ~Call() = default;
  // The last reference is gone; on the thread that dropped it.
  virtual void Destroy() = 0;
  // As new, with one reference: for pools of calls. Nobody else may know the call.
  void Recycle() {
    std::destroy_at(&cancel_);
    std::construct_at(&cancel_);
    head_ = {};
    deadline_ = kNoDeadline;
    refs_.store(1, std::memory_order_relaxed);
  }

  RequestHead head_;
  SteadyTime start_;
  SteadyTime deadline_ = kNoDeadline;
  CancelToken cancel_;
  uint64_t request_id_ = 0;

 private:
  std::atomic<uint32_t> refs_{1};
};

// An owning reference to a call. One thread at a time.
template <typename T>
class CallRef {
 public:
  CallRef() = default;
  explicit CallRef(T* adopted) : call_(adopted) {}
  CallRef(const CallRef& other) : call_(other.call_) {
    if (call_ != nullptr) call_->Ref();
  }
  CallRef(CallRef&& other) noexcept : call_(std::exchange(other.call_, nullptr)) {}
  CallRef& operator=(CallRef other) noexcept {
    std::swap(call_, other.call_);
    return *this;
  }
  ~CallRef() {
    if (call_ != nullptr) call_->Unref();
  }
  T* operator->() const { return call_; }
  T& operator*() const { return *call_; }
  T* get() const { return call_; }
  explicit operator bool() const { return call_ != nullptr; }

 private:
  T* call_ = nullptr;
};

struct HttpResponse {
  int status = 200;
  std::string_view content_type = "application/json";  // static storage; empty = no body type
  OwnedHeaders headers;  // further ones; content-length, date, connection are the server's business
  ByteChain body;  // gzip-compressed by the server if the client takes it and the route allows it
};

// A plain HTTP request, whole: the handler starts when the body is complete (and inflated, if it
// came gzipped). Thread-safe as Call is.
class HttpCall : public Call {
 public:
  // The body; kBufferSlack readable bytes behind it. The slice may be kept after the call.
  const Slice& body() const { return body_; }
  // Once, on any thread.
  virtual void Respond(HttpResponse response) = 0;

 protected:
  Slice body_;
};
using HttpCallRef = CallRef<HttpCall>;

// A gRPC call. Unary calls start when their only message is complete; streaming ones when the head
// has arrived. Thread-safe as Call is; Read, Write and their callbacks one at a time.
class GrpcCall : public Call {
 public:
  // The message of a unary call, decompressed, kBufferSlack readable bytes behind it. May be kept
  // after the call.
  const Slice& message() const { return message_; }

  // Unary: the answer and status OK. Once, on any thread; instead of Finish.
  virtual void Respond(ByteChain&& message) = 0;

  // Streaming: asks for the next message. `on_message` gets it, or none when the client has
  // half-closed or is gone; it runs on the loop. One read at a time.
  virtual void Read(absl::AnyInvocable<void(std::optional<Slice>)> on_message) = 0;
  // Streaming: sends initial metadata, before the first Write. Optional, once.
  virtual void SendInitialMetadata(OwnedHeaders metadata) = 0;
  // Streaming: sends a message. `on_accepted(true)` runs when there is room for the next one,
  // (false) when the call has ended; on the loop. One write at a time.
  virtual void Write(ByteChain message, absl::AnyInvocable<void(bool)> on_accepted) = 0;
  // Ends the call, of either kind. Once, on any thread.
  virtual void Finish(const Status& status, OwnedHeaders trailers = {}) = 0;

 protected:
  Slice message_;
};
using GrpcCallRef = CallRef<GrpcCall>;

}  // namespace penstock::net
