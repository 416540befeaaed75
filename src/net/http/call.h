// SPDX-License-Identifier: Apache-2.0
// A plain HTTP request from its head to its answer, the same for HTTP/1.1 and HTTP/2. The call does
// the routing, limits, body, deadline, CORS and compression. A session only parses and formats:
//
//   HttpCallImpl* call = NewHttpCall(loop, owner);    // head storage is empty
//   call->head_storage()...; call->mutable_head()...  // fill in
//   call->OnHead(content_length);                     // may answer at once (404, 413, 503 ...)
//   call->OnBody(bytes); ...  call->OnBodyEnd();      // the handler runs here
//   owner.OnAnswer(*call)                             // when there is an answer
//   call->Close();                                    // the session is done with the call
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "net/body/body_receiver.h"
#include "net/call.h"
#include "net/http/head_storage.h"
#include "net/loop/loop.h"
#include "net/loop/server_state.h"
#include "net/request_id.h"

namespace penstock::net {

class HttpCallImpl;

// The session's interface for a call. Owned by loop.
class HttpCallOwner {
 public:
  virtual ~HttpCallOwner() = default;
  // The answer is there: status(), ForEachHeader and TakeBody of the call may be used. Called once,
  // on the loop, perhaps from inside a function of the call.
  virtual void OnAnswer(HttpCallImpl& call) = 0;
  // For an answer in parts, after OnAnswer: appends to the body. Then the session calls OnRoom once
  // there is room for more. `part` is not empty.
  virtual void OnBodyPart(HttpCallImpl& call, ByteChain&& part) = 0;
  // The body is complete, or nothing more of it will come. Called once.
  virtual void OnBodyEnd(HttpCallImpl& call, bool is_complete) = 0;
  // Nobody but the session uses the head of the answered call any more (FreeHeadWhenUnused).
  virtual void OnHeadUnused(HttpCallImpl& /*call*/) {}
};

// The implementation of HttpCall. Owned by loop, except where HttpCall promises more.
class HttpCallImpl final : public HttpCall, private WheelTimer {
 public:
  // The session fills these in before OnHead: method, path, query, authority, headers, protocol,
  // endpoint, peer, caller. Views of the head must point to the storage, because the call may
  // outlive the connection.
  HeadStorage& head_storage() { return head_storage_; }
  RequestHead& mutable_head() { return head_; }
  // The head is large. Calls OnHeadUnused of the owner when the answer is given and the handler has
  // dropped the call, unless Close comes first. Call it before OnHead.
  void FreeHeadWhenUnused() { frees_head_ = true; }

  // The head is complete. `content_length` is nullopt if it is unknown or there is no body.
  void OnHead(std::optional<uint64_t> content_length);
  // Where the session may read the next bytes of the body to. Empty if a direct read is not worth
  // it.
  std::span<std::byte> BodyTarget();
  // True if BodyTarget is not empty, or would not be if it were asked.
  bool ReadsBodyInPlace() const;
  // True if PreviewBody should see the first kBodyPreviewBytes of the body before they are read.
  bool WantsBodyPreview() const;
  void PreviewBody(std::span<const std::byte> prefix);
  // Handles bytes of the body, which may lie in BodyTarget. Drops them if the call is already
  // answered.
  void OnBody(std::span<const std::byte> bytes);
  // The body is complete. Runs the handler, unless the call is already answered.
  void OnBodyEnd();
  // Answers with an error that the HTTP layer found (400, 404, 413, 431, 503 ...). Does nothing if
  // there is an answer already.
  void Refuse(int status, std::string_view message, OwnedHeaders headers = {});
  // Nobody needs the answer any more. Cancels the run and answers with the error. Does nothing if
  // there is an answer already.
  void Cancel(CancelReason reason, int status, std::string_view message);
  // The server stops, and waits no longer: cancels the run, and answers 503 with `message` or ends
  // the answer in parts. Does nothing if all of the answer is there already.
  void CutOff(std::string_view message);
  // The session has room for another part of the body.
  void OnRoom();
  // Drops the session's reference. Cancels the call if it is not answered yet, or not to the end.
  void Close();

  // From OnAnswer on:
  int status() const { return response_.status; }
  // True once OnAnswer was called.
  bool is_answered() const { return state_ == State::kAnswered; }
  // True until all of the answer is given.
  bool is_open() const { return !is_answered() || is_body_open_; }
  // The body comes by OnBodyPart, and its length is unknown.
  bool is_in_parts() const { return is_in_parts_; }
  // Calls `visit(name, value)` for every field except content-length and the fields of the
  // connection.
  template <typename Visit>
  void ForEachHeader(Visit visit) const;
  // The size of the body, for content-length. HEAD has it too.
  uint64_t body_bytes() const { return response_.body.bytes(); }
  // Takes the body to send. Empty for HEAD. Call it once.
  ByteChain TakeBody();

  void Respond(HttpResponse&& response) override;
  void RespondInParts(HttpResponse response, const PartsEnding& ending) override;
  void Write(ByteChain part, absl::AnyInvocable<void(bool)> on_accepted) override;
  void EndBody() override;
  void CancelFromRun() override;

 private:
  class Holder;
  friend HttpCallImpl* NewHttpCall(Loop& loop, HttpCallOwner& owner);
  // kOpen: no answer yet. kGiven: the answer is on its way to the loop. Only Claim leaves kOpen.
  enum class State : uint8_t { kOpen, kGiven, kAnswered };

  explicit HttpCallImpl(std::shared_ptr<Loop> loop);
  void Destroy() override;
  void OnTimer() override;  // the deadline

  // The steps of OnHead. FindRoute and CheckAccess return false if they have answered the request.
  bool FindRoute();
  bool CheckAccess();
  void AdmitBody(std::optional<uint64_t> content_length);
  void AnswerOptions();
  // Answers the error of a BodyReceiver: 413, 503 or 400.
  void RefuseBody(const Status& status);
  // REQUIRES: Claim has returned true, and this is the loop's thread.
  void DeliverRefusal(int status, std::string_view message, OwnedHeaders headers);
  void LogRefusal(int status, std::string_view message) const;
  // Sets the deadline and runs the handler, which may answer and close the call at once.
  void RunHandler(const HttpHandler& handler);
  // Reserves the right to answer. Returns false if another caller was first.
  bool Claim();
  // Gives the answer to the session, on the loop.
  void Deliver();
  // Compresses the body of the answer, if the route and the client allow it and it becomes smaller.
  void Compress();
  // Runs `task` on the loop. Tasks keep their order.
  template <typename Task>
  void RunOnLoop(Task task);
  // Ends a body in parts with `last`, instead of the handler, and cancels the run.
  void EndPartsEarly(std::string_view last, CancelReason reason);
  // Ends a body in parts, on the loop. Does nothing if it has ended.
  void CloseBody(bool is_complete);
  // See holds_. DropHold may return the call to the pool or delete it.
  void Hold() { holds_.fetch_add(1, std::memory_order_relaxed); }
  void DropHold();
  // Gives the record to the observers, once.
  void ReportEnd();
  void Reset();

  const std::shared_ptr<Loop> loop_;
  HttpCallOwner* owner_ = nullptr;  // null after Close
  const HttpRoute* route_ = nullptr;
  HeadStorage head_storage_;
  BodyReceiver receiver_;
  std::atomic<State> state_{State::kOpen};
  // Counts the session, all references of the handler together, and an answer on its way. The last
  // one to leave returns the call to the pool.
  std::atomic<uint32_t> holds_{1};
  bool is_large_ = false;    // the body is over kSmallBodyBytes, or its length is unknown
  bool has_slot_ = false;    // the call counts as a request in flight
  bool vary_ = false;        // the answer depends on accept-encoding
  bool frees_head_ = false;  // see FreeHeadWhenUnused
  bool is_reported_ = false;
  // For an answer in parts.
  bool is_in_parts_ = false;
  bool has_given_end_ = false;  // the handler has called EndBody
  bool is_body_open_ = false;   // on the loop: more of the body may come
  PartsEnding ending_;
  absl::AnyInvocable<void(bool)> on_accepted_;  // on the loop
  std::atomic<int> on_the_way_{0};              // tasks posted to the loop that have not run
  HttpResponse response_;
  std::string_view content_encoding_;  // of the answer. Empty: it is not compressed
  std::string_view request_id_field_;  // the answer's x-request-id
  RequestIdText request_id_text_;
};

// Takes a call from the loop's pool. It has one reference, which Close drops.
HttpCallImpl* NewHttpCall(Loop& loop, HttpCallOwner& owner);

template <typename Visit>
void HttpCallImpl::ForEachHeader(Visit visit) const {
  if (!response_.content_type.empty()) visit("content-type", response_.content_type);
  if (!content_encoding_.empty()) visit("content-encoding", content_encoding_);
  if (vary_) visit("vary", std::string_view("accept-encoding"));
  if (loop_->server().options.cors) {
    visit("access-control-allow-origin", std::string_view("*"));
    visit("access-control-allow-methods", std::string_view("POST, GET"));
    visit("access-control-allow-headers", loop_->server().options.access == nullptr
                                              ? std::string_view("Content-Type")
                                              : std::string_view("Content-Type, Authorization"));
  }
  for (const auto& [name, value] : response_.headers) visit(name, std::string_view(value));
  visit(kRequestIdField, request_id_field_);
  visit("date", loop_->HttpDate());
}

}  // namespace penstock::net
