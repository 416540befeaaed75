// SPDX-License-Identifier: Apache-2.0
// A gRPC call from its head to its status. The stream moves header fields and bytes. This class
// handles messages, deadlines, compression and status.
#pragma once

#include <atomic>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "absl/functional/any_invocable.h"
#include "net/call.h"
#include "net/grpc/message_reader.h"
#include "net/http/call.h"
#include "net/loop/loop.h"
#include "net/router.h"

namespace penstock::net {

// The fields of a request that decide how to serve it, as received. Empty if absent.
struct GrpcHeadFields {
  std::string_view timeout;
  std::string_view encoding;
  std::string_view accept_encoding;
};

// The stream's interface for a gRPC call. Http2Stream implements it, so that a test can put
// something simpler in its place. Every function is called on the loop, and none after DetachCall.
// Owned by loop.
class GrpcStream {
 public:
  virtual ~GrpcStream() = default;
  // Sends the head of the answer. `compression` is that of the messages. EndWith or EndOk must
  // follow.
  virtual void SendHead(Compression compression, OwnedHeaders metadata) = 0;
  // Sends an answer without messages: the head and `trailers` in one frame.
  virtual void SendTrailersOnly(OwnedHeaders trailers) = 0;
  // Appends a message with its prefix of five bytes. The stream keeps the slices until they are
  // sent. REQUIRES: SendHead came before, and the message has less than 4 GiB.
  virtual void AppendMessage(bool is_compressed, ByteChain&& message) = 0;
  // Ends the answer. `trailers` are sent last.
  virtual void EndWith(OwnedHeaders trailers) = 0;
  // Ends the answer of a call that succeeded. `trailers` need not live longer than this call.
  virtual void EndOk(const OkTrailers& trailers) = 0;
  // The call has used this many bytes of the body, so the client may send more.
  virtual void Consume(size_t bytes) = 0;
  // Requests a call of OnRoom when the queue has space for another message.
  virtual void AskForRoom() = 0;
  // The message of a unary call is to come. At the limit for incomplete requests the stream makes
  // the call fail.
  virtual void BeginReceiving() = 0;
  // The call begins to be served, or to be open without counting as a request. It is so until the
  // stream ends. False: the limit is reached.
  [[nodiscard]] virtual bool BeginRequest() = 0;
  [[nodiscard]] virtual bool BeginUncounted() = 0;
  // The call has ended. Further input is dropped.
  virtual void DetachCall() = 0;
};

// The implementation of GrpcCall. A stream takes one from the pool when it knows that its request
// is gRPC. Owned by loop, except where GrpcCall promises more.
//
// Two parties refer to it: the stream by a plain pointer, which Detach clears, and the handler by
// counted references. The first counted reference belongs to the stream until the handler starts,
// and then to the handler. See call.cc.
class GrpcCallImpl final : public GrpcCall, private WheelTimer {
 public:
  // For the pool: NewGrpcCall makes calls that are ready for use.
  explicit GrpcCallImpl(std::shared_ptr<Loop> loop);
  ~GrpcCallImpl() override;

  // --- for the stream
  HeadStorage& head_storage() { return head_storage_; }
  RequestHead& mutable_head() { return head_; }
  // The head is complete at `now`. Starts the handler of a streaming call. May answer at once.
  // `route` is null if there is no such method.
  void OnHead(const GrpcRoute* route, const GrpcHeadFields& fields, SteadyTime now);
  // Bytes of the body, which may be cut anywhere. May end the call.
  void OnData(std::span<const std::byte> bytes);
  // The client has half-closed. Starts the handler of a unary call.
  void OnEnd();
  // The stream has space for a message again.
  void OnRoom();
  // Ends the call with an error found by the stream or the session.
  void Fail(const Status& status, OwnedHeaders trailers = {});
  // The server stops, and waits no longer: ends the call with UNAVAILABLE.
  void CutOff(std::string_view why);
  // The stream is gone: the client has reset it, or the connection is lost. Cancels the call. The
  // stream must not use the call after this.
  void OnStreamGone();
  bool is_unary() const { return route_ == nullptr || route_->is_unary; }
  // A reference that keeps the call alive.
  CallRef<GrpcCallImpl> Share() {
    Ref();
    return CallRef<GrpcCallImpl>(this);
  }
  // True for a watch: it would hold up a drain for as long as its client likes.
  bool ends_on_drain() const { return route_ != nullptr && !route_->counts_as_request; }

  // --- for the handler
  using GrpcCall::Respond;
  void Respond(ByteChain&& message, const OkTrailers& trailers) override;
  void Read(absl::AnyInvocable<void(std::optional<Slice>)> on_message) override;
  void SendInitialMetadata(OwnedHeaders metadata) override;
  void Write(ByteChain message, absl::AnyInvocable<void(bool)> on_accepted) override;
  void CancelFromRun() override;
  void Finish(const Status& status, OwnedHeaders trailers) override;

 private:
  friend GrpcCallImpl* NewGrpcCall(Loop& loop, GrpcStream& stream);

  void Destroy() override;
  // The last reference is gone, and this is the loop's thread. Answers INTERNAL if there is no
  // answer.
  void OnUnreferenced();
  // Why the client has left: at its deadline, or earlier.
  CancelReason ReasonToLeave() const;
  void NoteLeft(CancelReason reason);
  // REQUIRES: nobody refers to the call.
  void ReturnToPool();
  void OnTimer() override;

  // Return false if they have ended the call.
  bool CheckAccess();
  bool ReadHeadFields(const GrpcHeadFields& fields);
  bool AdmitRequest();
  bool AdmitUncounted();
  // Gives the stream's reference to the handler and runs it. The call may be gone when this
  // returns.
  void StartHandler();
  // Bytes of the only message. More than one message is an error.
  void ReceiveUnary(std::span<const std::byte> bytes);
  // Moves bytes from the input to messages, and messages to the waiting Read, until one is missing.
  void Pump();
  // One step of Pump. False: nothing can be done now.
  bool PumpOnce();
  // Copies input that the handler has not asked for to the backlog.
  void KeepForLater(std::span<const std::byte> bytes);
  void DropBacklog();

  // MayRunNow is true on the loop's thread if no task of this call is posted. Then RunOnLoop runs
  // `task` at once. Otherwise it posts the task, so that tasks keep their order.
  bool MayRunNow() const;
  template <typename Task>
  void RunOnLoop(Task task);
  Compression AnswerCompression(Compression request, std::string_view accepted) const;
  void Compress(ByteChain& message) const;
  // Counts memory of the message that the budget does not count yet, until the message is sent.
  Status CountUnsent(ByteChain& message) const;
  // The next functions run on the loop. REQUIRES: stream_ is not null.
  void SendHead(OwnedHeaders metadata);
  void Answer(ByteChain&& message, const OkTrailers& trailers);
  void SendMessage(ByteChain&& message);
  // Ends the answer with this status and cuts the link to the stream.
  void End(const Status& status, OwnedHeaders trailers);
  // Cuts the link to the stream in both directions. Waiting callbacks learn that nothing more
  // comes.
  void Detach();

  const std::shared_ptr<Loop> loop_;
  GrpcStream* stream_ = nullptr;  // null once the call has ended, on either side
  const GrpcRoute* route_ = nullptr;
  HeadStorage head_storage_;
  GrpcMessageReader reader_;

  Compression compression_ = Compression::kNone;  // of the answers

  bool is_started_ = false;           // the first reference belongs to the handler
  bool is_head_sent_ = false;         // or queued
  bool has_message_ = false;          // unary: message_ is complete
  bool has_ended_ = false;            // the client has half-closed
  bool is_receiving_ = false;         // Pump is on the stack
  std::span<const std::byte> input_;  // input for Pump, to be used after the backlog
  // Streaming: bytes that arrived before the handler asked for them. The budget counts them.
  std::string backlog_;
  size_t backlog_used_ = 0;
  absl::AnyInvocable<void(std::optional<Slice>)> on_message_;
  absl::AnyInvocable<void(bool)> on_accepted_;

  std::atomic<bool> is_answered_{false};  // the one that sets it first ends the call
  std::atomic<int> on_the_way_{0};        // tasks posted to the loop that have not run
};

// Takes a call from the loop's pool. It has one reference, which the stream passes to the handler.
GrpcCallImpl* NewGrpcCall(Loop& loop, GrpcStream& stream);

}  // namespace penstock::net
