// SPDX-License-Identifier: Apache-2.0
// An inference whose request came over the network: joins InferCall, which knows no network, with
// the calls of net.
#pragma once

#include <memory>
#include <string_view>
#include <utility>

#include "infer/infer_call.h"
#include "net/call.h"

namespace penstock {

// The facts about `call` that the engine needs. `body_bytes` is the size of its request.
CallInfo InfoOf(net::Call& call, size_t body_bytes);

// The base of a front end's calls. It keeps the reference to the network's call, which is a
// net::HttpCallRef or a net::GrpcCallRef, until the answer has been sent.
//
//   class EchoCall final : public NetCall<net::GrpcCallRef> {
//    public:
//     static void Handle(Engine& engine, net::GrpcCallRef call) {
//       auto* self = new EchoCall;              // or from a pool
//       const Slice& message = call->message();
//       self->Start(engine, std::move(call), message);
//     }
//    private:
//     Status Decode(const ModelInfo&, RequestMemory&, InferRequest&) override;
//     void Send(ByteChain&& answer) override { call().Respond(std::move(answer)); }
//     void Release() override { delete this; }
//     ...                                       // the other functions of InferCall
//   };
//
// One thread at a time: first the event loop, then the thread on which the model answers.
template <typename CallRef>
class NetCall : public InferCall {
 protected:
  // As InferCall::Start. `body` is the message or the body of `call`.
  void Start(Engine& engine, CallRef call, const Slice& body) {
    call_ = std::move(call);
    InferCall::Start(engine, InfoOf(*call_, body.size));
  }
  // As Start, for a client that takes the answer in parts.
  void StartInParts(Engine& engine, CallRef call, const Slice& body) {
    call_ = std::move(call);
    receiver_ = std::make_shared<PartReceiver>(engine.scheduler().common());
    CallInfo info = InfoOf(*call_, body.size);
    info.parts = receiver_.get();
    InferCall::Start(engine, info);
  }
  // As InferCall::Reset, and drops the reference.
  void Reset() {
    InferCall::Reset();
    call_ = {};
    receiver_ = nullptr;
  }

  // REQUIRES: between Start and Reset.
  auto& call() const { return *call_; }
  bool is_in_parts() const { return receiver_ != nullptr; }

  // Sends a part, and makes the model wait until the network has taken it. REQUIRES: is_in_parts().
  void WritePart(ByteChain&& bytes) {
    receiver_->OnSend();
    // The network keeps the call while it keeps the callback.
    call_->Write(std::move(bytes), [receiver = receiver_, cancel = &call_->cancel()](bool) {
      receiver->OnAccepted(*cancel);
    });
  }

 private:
  // This must not wait for the compute pool: all of its threads may run models that only this can
  // stop.
  void StopRun() final { call_->CancelFromRun(); }

  std::string_view Header(std::string_view name) const final {
    return net::FindHeader(call_->head().headers, name);
  }

  CallRef call_;
  std::shared_ptr<PartReceiver> receiver_;  // null: the answer is not in parts
};

}  // namespace penstock
