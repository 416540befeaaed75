// SPDX-License-Identifier: Apache-2.0
// A plain HTTP request from its head to its answer, the same for HTTP/1.1 and HTTP/2: routing,
// limits, the body, deadline, CORS, compression. A session parses and formats, nothing else:
//
//   HttpCallImpl* call = NewHttpCall(loop, owner);    // head storage is empty
//   call->head_storage()...; call->mutable_head()...  // fill in
//   call->OnHead(content_length);                     // may answer at once (404, 413, 503 ...)
//   call->OnBody(bytes); ...  call->OnBodyEnd();      // the handler runs here
//   owner.OnAnswer(*call)                             // when there is an answer
//   call->Close();                                    // the session is done with the call
#pragma once

#include <cstdint>
#include <cstring>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "net/body_receiver.h"
#include "net/call.h"
#include "net/loop.h"
#include "net/request_id.h"
#include "net/server_state.h"

namespace penstock::net {

class HttpCallImpl;

// The session's side of a call. Owned by loop.
class HttpCallOwner {
 public:
  virtual ~HttpCallOwner() = default;
  // call.status(), ForEachHeader and TakeBody are ready. Called once, on the loop, perhaps inside
  // one of the call's own functions.
  virtual void OnAnswer(HttpCallImpl& call) = 0;
};

// The bytes of a request's head (less than 4 GiB: header_bytes_max is), and its fields as offsets,
// so that the bytes may move while the head is gathered. Reused for the next call. Owned by loop.
class HeadStorage final {
 public:
  void Clear();
  // Keeps a copy; View(offset, size) gives it back once all is appended.
  size_t Append(std::string_view text) {
    const size_t at = size_;
    if (text.empty()) return at;
    if (text.size() > capacity_ - at) Grow(text.size());
    std::memcpy(bytes_.get() + at, text.data(), text.size());
    size_ += text.size();
    return at;
  }
  // Keeps a field. Returns where its value is.
  size_t AppendField(std::string_view name, std::string_view value) {
    if (name.size() + value.size() > capacity_ - size_) Grow(name.size() + value.size());
    char* const at = bytes_.get() + size_;
    std::memcpy(at, name.data(), name.size());
    if (!value.empty()) std::memcpy(at + name.size(), value.data(), value.size());
    const size_t value_at = size_ + name.size();
    AddField(size_, name.size(), value_at, value.size());
    size_ = value_at + value.size();
    return value_at;
  }
  // Fields that lie in the bytes already (Append).
  void AddField(size_t name_at, size_t name_size, size_t value_at, size_t value_size) {
    fields_.push_back({static_cast<uint32_t>(name_at), static_cast<uint32_t>(name_size),
                       static_cast<uint32_t>(value_at), static_cast<uint32_t>(value_size)});
  }
  std::string_view View(size_t at, size_t size) const { return {bytes_.get() + at, size}; }
  size_t size() const { return size_; }
  size_t field_count() const { return fields_.size(); }
  // What the head takes in memory.
  size_t memory_bytes() const { return size_ + fields_.size() * (sizeof(Field) + sizeof(Header)); }

  // The fields. Valid until the next change.
  std::span<const Header> Fields();

 private:
  struct Field {
    uint32_t name_at, name_size, value_at, value_size;
  };
  void Grow(size_t bytes);

  // Not a string: its append, called for every field, costs several times the copy.
  std::unique_ptr<char[]> bytes_;
  size_t size_ = 0;
  size_t capacity_ = 0;
  std::vector<Field> fields_;
  std::vector<Header> headers_;
};

// See above. Owned by loop, but for what HttpCall promises.
class HttpCallImpl final : public HttpCall, private WheelTimer {
 public:
  // Filled in by the session before OnHead: method, path, query, authority, headers, protocol,
  // endpoint, peer.
  HeadStorage& head_storage() { return head_storage_; }
  RequestHead& mutable_head() { return head_; }

  // The head is complete. `content_length`: none if unknown or if there is no body.
  void OnHead(std::optional<uint64_t> content_length);
  // Where the next bytes of the body may be read to; empty if not worth it.
  std::span<std::byte> BodyTarget();
  // Bytes of the body, perhaps in BodyTarget. Dropped if the call is answered already.
  void OnBody(std::span<const std::byte> bytes);
  // The body is complete: runs the handler, unless the call is answered already.
  void OnBodyEnd();
  // Answers an error that the HTTP layer found (400, 404, 413, 431, 503 ...), if there is no answer
  // yet.
  void Refuse(int status, std::string_view message, OwnedHeaders headers = {});
  // The answer is not worth waiting for any more: answers the error, and cancels the run, if there
  // is no answer yet.
  void Cancel(CancelReason reason, int status, std::string_view message);
  // Ends the session's part: drops its reference. Cancels the call if it is not answered yet.
  void Close();

  // From OnAnswer on:
  int status() const { return response_.status; }
  // Whether OnAnswer has been called.
  bool is_answered() const { return state_ == State::kAnswered; }
  // Calls `visit(name, value)` with every field but content-length and those of the connection.
  template <typename Visit>
  void ForEachHeader(Visit visit) const;
  // Bytes of the body, for content-length; also for HEAD.
  uint64_t body_bytes() const { return response_.body.bytes(); }
  // The body to be sent: empty for HEAD. Once.
  ByteChain TakeBody();

  void Respond(HttpResponse response) override;

 private:
  class Holder;
  friend HttpCallImpl* NewHttpCall(Loop& loop, HttpCallOwner& owner);
  friend class HttpCallPool;
  // kOpen: until the handler answers. kGiven: on its way to the loop.
  enum class State : uint8_t { kOpen, kGiven, kAnswered };

  explicit HttpCallImpl(std::shared_ptr<Loop> loop);
  void Destroy() override;
  void OnTimer() override;  // the deadline

  bool FindRoute();
  void AdmitBody(std::optional<uint64_t> content_length);
  void AnswerOptions();
  void RefuseBody(const Status& status);
  void DeliverRefusal(int status, std::string_view message, OwnedHeaders headers);
  void LogRefusal(int status, std::string_view message) const;
  void RunHandler(const HttpHandler& handler);
  // Makes the caller the one who answers; false if somebody else was first.
  bool Claim();
  void Deliver();
  void Compress();
  void Hold() { holds_.fetch_add(1, std::memory_order_relaxed); }
  void DropHold();
  void Reset();

  const std::shared_ptr<Loop> loop_;
  HttpCallOwner* owner_ = nullptr;  // null once the session is done with the call
  const HttpRoute* route_ = nullptr;
  HeadStorage head_storage_;
  BodyReceiver receiver_;
  std::atomic<State> state_{State::kOpen};
  // The session, the handler's references together, and an answer on its way: the last one to let
  // go returns the call to the pool.
  std::atomic<uint32_t> holds_{1};
  bool is_large_ = false;    // the body
  bool has_slot_ = false;    // counts as a request in flight
  bool is_gzipped_ = false;  // the answer
  bool vary_ = false;        // the answer depends on accept-encoding
  HttpResponse response_;
  std::string_view request_id_field_;  // of the answer
  RequestIdText request_id_text_;
};

// A call with one reference, which Close drops. From the loop's pool.
HttpCallImpl* NewHttpCall(Loop& loop, HttpCallOwner& owner);

template <typename Visit>
void HttpCallImpl::ForEachHeader(Visit visit) const {
  if (!response_.content_type.empty()) visit("content-type", response_.content_type);
  if (is_gzipped_) visit("content-encoding", std::string_view("gzip"));
  if (vary_) visit("vary", std::string_view("accept-encoding"));
  if (loop_->server().options.cors) {
    visit("access-control-allow-origin", std::string_view("*"));
    visit("access-control-allow-methods", std::string_view("POST, GET"));
    visit("access-control-allow-headers", std::string_view("Content-Type"));
  }
  for (const auto& [name, value] : response_.headers) visit(name, std::string_view(value));
  visit(kRequestIdField, request_id_field_);
  visit("date", loop_->HttpDate());
}

}  // namespace penstock::net
