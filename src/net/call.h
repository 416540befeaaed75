// SPDX-License-Identifier: Apache-2.0
// One exchange with a client, as a front end sees it: an HTTP request, which gets one answer, whole
// or in parts, or a gRPC call.
//
// Threads: The event loop of the connection starts the handler. Calls are reference-counted: a
// handler may keep a call, and answer it from any thread. An answer from another thread is posted
// to the loop. An answer on the loop goes out with the loop's next flush.
//
// When the client disconnects or resets the call, the cancel token fires. Answers after that are
// dropped, which is not an error. If the last reference goes without an answer, the client gets
// INTERNAL or 500.
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
#include "base/calls/call_record.h"
#include "base/cancel.h"
#include "base/clock.h"
#include "base/status.h"
#include "net/headers.h"
#include "net/ok_trailers.h"

namespace penstock::net {

// A field to send. The name has static storage and is in lower case.
struct OwnedHeader {
  std::string_view name;
  std::string value;
};
// Further header fields, metadata or trailers of an answer.
using OwnedHeaders = std::vector<OwnedHeader>;

// The common part of HTTP and gRPC calls. Thread-safe, except where a comment below says otherwise.
class Call {
 public:
  const RequestHead& head() const { return head_; }
  // The time when the head was complete.
  SteadyTime start() const { return start_; }
  // gRPC: start plus the client's grpc-timeout. HTTP: start plus the configured timeout, but the
  // time for receiving a large body does not count. HTTP deadlines are set when the handler starts.
  // kNoDeadline if there is none.
  SteadyTime deadline() const { return deadline_; }
  // Fires when the client resets the call or disconnects, or when the deadline passes before the
  // call has ended.
  CancelToken& cancel() { return cancel_; }
  // For a handler that has answered before its model has ended: cancels the token. A model that
  // reads the token sees it at once. The callback of the token runs later, on the loop, because the
  // model may be giving a part on this thread. So it needs no other thread until then. Thread-safe.
  virtual void CancelFromRun() = 0;
  // Unique in this process, never 0. Log lines show it in hexadecimal digits (RequestIdOf).
  uint64_t request_id() const { return request_id_; }
  // What the access log and the traces will say about this call. CallRecord says which thread
  // writes what.
  CallRecord& record() { return record_; }
  const CallRecord& record() const { return record_; }

  // Count the references. Use CallRef instead.
  void Ref() { refs_.fetch_add(1, std::memory_order_relaxed); }
  void Unref() {
    if (refs_.fetch_sub(1, std::memory_order_acq_rel) == 1) Destroy();
  }

 protected:
  Call() = default;
  virtual ~Call() = default;
  // Adds the fields that tell the client the trace of this call, which is a traced one.
  void AddTrace(OwnedHeaders& headers) const {
    headers.emplace_back("traceparent", record_.trace->TraceParent());
    if (!record_.trace->state.empty()) headers.emplace_back("tracestate", record_.trace->state);
  }
  // Called when the last reference is dropped, on the thread that dropped it.
  virtual void Destroy() = 0;
  // Resets the call to its initial state, with one reference, so that a pool can reuse it. Nobody
  // else may refer to the call.
  void Recycle() {
    std::destroy_at(&cancel_);
    std::construct_at(&cancel_);
    head_ = {};
    start_ = {};
    deadline_ = kNoDeadline;
    record_.Clear();
    refs_.store(1, std::memory_order_relaxed);
  }

  RequestHead head_;
  SteadyTime start_;
  SteadyTime deadline_ = kNoDeadline;
  CancelToken cancel_;
  uint64_t request_id_ = 0;
  CallRecord record_;

 private:
  std::atomic<uint32_t> refs_{1};
};

// An owning reference to a call. One thread at a time. Copying counts one more; a null reference is
// allowed.
template <typename T>
class CallRef {
 public:
  CallRef() = default;
  // Takes over one reference that somebody else has counted.
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

// Ends an answer in parts that its handler does not end: the last bytes of the body. Static
// storage; may be empty.
struct PartsEnding {
  std::string_view at_deadline;  // the deadline has passed
  std::string_view at_stop;      // the server stops, and has waited long enough
};

// The answer of a handler. The body is sent without a copy, and its slices keep their memory until
// then.
struct HttpResponse {
  int status = 200;
  // Static storage. Empty: no content-type field.
  std::string_view content_type = "application/json";
  // Further fields. The server adds content-length, date and connection. It leaves out a field
  // whose value has a line break.
  OwnedHeaders headers;
  // The server compresses it with gzip if the client accepts gzip, and the route and `compress`
  // allow it.
  ByteChain body;
  bool compress = true;
  std::string error = {};  // the message in the body of an error, for the call's record
};

// A complete plain HTTP request. The handler starts when the whole body has arrived and is
// inflated. It must answer exactly once, now or later, with Respond or in parts:
//
//   void Handle(HttpCallRef call) {
//     const bool is_queued = pool.Submit([call] {  // keeps the call; the loop goes on
//       if (call->cancel().IsCancelled()) return;  // nobody waits any more
//       HttpResponse response;
//       response.body.AppendCopy(Work(call->body().view()));
//       call->Respond(std::move(response));
//     });
//     if (!is_queued) call->Respond(ErrorResponse(503, "the server is busy"));
//   }
//
// Thread-safe as Call is.
class HttpCall : public Call {
 public:
  // The body, followed by kBufferSlack readable bytes. The slice may outlive the call.
  const Slice& body() const { return body_; }
  // Sends the answer. Call it once, on any thread. The first answer counts: after a deadline or a
  // cancel this does nothing. If the budget has no memory for the body until it is sent, the client
  // gets a 503 instead.
  virtual void Respond(HttpResponse&& response) = 0;

  // Instead of Respond: sends the head of an answer whose body follows in parts. `response` has no
  // body. If the deadline or the end of the server comes first, `ending` ends the body. Write and
  // EndBody must follow. If the last reference goes without EndBody, the client sees that the body
  // is incomplete.
  virtual void RespondInParts(HttpResponse response, const PartsEnding& ending) = 0;
  // Sends a part of the body. The caller has counted its memory. `on_accepted` runs on the loop:
  // with true when the next part may come, with false when the call has ended. A Write before that
  // takes the place of the former one's `on_accepted`.
  virtual void Write(ByteChain part, absl::AnyInvocable<void(bool)> on_accepted) = 0;
  // Ends the body of RespondInParts. The parts that are queued are still sent.
  virtual void EndBody() = 0;

 protected:
  Slice body_;
};
using HttpCallRef = CallRef<HttpCall>;

// A gRPC call. The handler of a unary call starts when its only message is complete; the handler of
// a streaming call starts when the head has arrived. It must end the call exactly once:
//
//   call->Respond(std::move(message));                  // unary, OK
//   call->Finish(InvalidArgument("no such input"));     // unary or streaming, an error
//   call->Write(std::move(message), [call](bool is_open) { ... });  // several messages,
//   call->Finish(OkStatus());                                       // then the end
//
// Thread-safe as Call is, but only one Read may be under way, and only one thread may write, at a
// time.
class GrpcCall : public Call {
 public:
  // The decompressed message of a unary call, followed by kBufferSlack readable bytes. The slice
  // may outlive the call.
  const Slice& message() const { return message_; }

  // Unary: sends the answer and the status OK, with `trailers`, which need not live longer. Call it
  // once, on any thread, instead of Finish.
  virtual void Respond(ByteChain&& message, const OkTrailers& trailers) = 0;
  void Respond(ByteChain&& message) { Respond(std::move(message), OkTrailers::Plain()); }

  // Streaming: requests the next message. `on_message` runs on the loop, perhaps before Read
  // returns. It gets the message, or nullopt if the client has half-closed or the call has ended.
  // One read at a time. Until the next Read, the client's window holds back what it sends.
  virtual void Read(absl::AnyInvocable<void(std::optional<Slice>)> on_message) = 0;
  // Streaming: sends initial metadata. Optional; call it at most once, before the first Write.
  virtual void SendInitialMetadata(OwnedHeaders metadata) = 0;
  // Sends a message of an answer that has several; Finish follows the last one. Unary calls may use
  // it too. `on_accepted` runs on the loop: with true when the queue has space for the next
  // message, with false when the call has ended. A Write before that takes the place of the former
  // one's `on_accepted`.
  virtual void Write(ByteChain message, absl::AnyInvocable<void(bool)> on_accepted) = 0;
  // Ends a unary or a streaming call. Call it once, on any thread. Messages that are queued are
  // still sent. The message of `status` is cut at 4 KiB. Later calls of Finish or Respond do
  // nothing.
  virtual void Finish(const Status& status, OwnedHeaders trailers = {}) = 0;

 protected:
  Slice message_;
};
using GrpcCallRef = CallRef<GrpcCall>;

}  // namespace penstock::net
