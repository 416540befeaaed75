// SPDX-License-Identifier: Apache-2.0
// A gRPC call from its head to its status. The stream below moves header fields and bytes; this
// knows messages, deadlines, compression and status.
#pragma once

#include <atomic>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "absl/functional/any_invocable.h"
#include "net/call.h"
#include "net/grpc_message_reader.h"
#include "net/http_call.h"
#include "net/loop.h"
#include "net/router.h"

namespace penstock::net {

class Http2Stream;

// Fields of a request that decide how it is served, as received; empty if absent.
struct GrpcHeadFields {
  std::string_view timeout;
  std::string_view encoding;
  std::string_view accept_encoding;
};

// Made for each stream, before it is known to be gRPC, so that the head can be gathered in it.
// Owned by loop, but for what GrpcCall promises.
//
// Two parties hold it: the stream, by a plain pointer that Detach clears, and the handler, by
// counted references. Until the handler starts, the stream has the first of these.
class GrpcCallImpl final : public GrpcCall, private WheelTimer {
 public:
  explicit GrpcCallImpl(std::shared_ptr<Loop> loop);
  ~GrpcCallImpl() override;

  // --- for the stream
  HeadStorage& head_storage() { return head_storage_; }
  RequestHead& mutable_head() { return head_; }
  // The head is complete: starts a streaming call; may answer at once. `route` is null if there is
  // no such method.
  void OnHead(const GrpcRoute* route, const GrpcHeadFields& fields);
  void OnData(std::span<const std::byte> bytes);
  // The client has half-closed: starts a unary call.
  void OnEnd();
  // There is room for a message again.
  void OnRoom();
  // Ends the call with an error that the stream or the session found.
  void Fail(const Status& status);
  // The stream is gone: cancels the call.
  void OnStreamGone();
  // The stream turned out to be no gRPC: the call goes back to the pool.
  void Abandon();
  bool is_unary() const { return route_ == nullptr || route_->is_unary; }
  bool ends_on_drain() const { return route_ != nullptr && !route_->counts_as_request; }

  // --- for the handler
  void Respond(ByteChain&& message) override;
  void Read(absl::AnyInvocable<void(std::optional<Slice>)> on_message) override;
  void SendInitialMetadata(OwnedHeaders metadata) override;
  void Write(ByteChain message, absl::AnyInvocable<void(bool)> on_accepted) override;
  void Finish(const Status& status, OwnedHeaders trailers) override;

 private:
  friend class GrpcCallPool;
  friend class Http2Stream;
  friend GrpcCallImpl* NewGrpcCall(Loop& loop);

  void Destroy() override;
  void OnUnreferenced();
  CancelReason ReasonToLeave() const;
  void Recycle();
  void OnTimer() override;

  bool ReadHeadFields(const GrpcHeadFields& fields);
  bool AdmitBody();
  bool AdmitRequest();
  bool AdmitUncounted();
  void StartHandler();
  void ReceiveUnary(std::span<const std::byte> bytes);
  void Pump();
  bool PumpOnce();
  void KeepForLater(std::span<const std::byte> bytes);
  void DropBacklog();

  // Runs `task` on the loop: at once if this is its thread and nothing is on its way.
  bool MayRunNow() const;
  template <typename Task>
  void RunOnLoop(Task task);
  void Compress(ByteChain& message) const;
  // Has the budget of requests count what nobody counts yet, until it is sent.
  Status CountUnsent(ByteChain& message) const;
  void SendHead(OwnedHeaders metadata);
  void Answer(ByteChain&& message);
  void SendMessage(ByteChain&& message);
  void End(const Status& status, OwnedHeaders trailers);
  void Detach();

  const std::shared_ptr<Loop> loop_;
  Http2Stream* stream_ = nullptr;  // null once the call has ended, on either side
  const GrpcRoute* route_ = nullptr;
  HeadStorage head_storage_;
  GrpcMessageReader reader_;

  bool is_started_ = false;           // the handler has the first reference
  bool is_head_sent_ = false;         // or queued
  bool compress_ = false;             // the answers
  bool has_message_ = false;          // unary: message_ is complete
  bool has_ended_ = false;            // the client has half-closed
  bool is_receiving_ = false;         // Pump is on the stack
  std::span<const std::byte> input_;  // what Pump is to take, after the backlog
  std::string backlog_;  // streaming: came before it was asked for; counted in the budget
  size_t backlog_used_ = 0;
  absl::AnyInvocable<void(std::optional<Slice>)> on_message_;
  absl::AnyInvocable<void(bool)> on_accepted_;

  std::atomic<bool> is_answered_{false};  // whoever sets it may end the call
  std::atomic<int> on_the_way_{0};        // tasks posted to the loop
};

// A call with one reference, which the stream gives to the handler or to Abandon. From the loop's
// pool.
GrpcCallImpl* NewGrpcCall(Loop& loop);

}  // namespace penstock::net
