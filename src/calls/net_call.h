// SPDX-License-Identifier: Apache-2.0
// An inference whose request came over the network: joins InferCall, which knows no network, with
// the calls of net.
#pragma once

#include <string_view>
#include <utility>

#include "infer/infer_call.h"
#include "net/call.h"

namespace penstock {

// The facts about `call` that the engine needs. `body_bytes` is the size of its request.
CallInfo InfoOf(net::Call& call, size_t body_bytes);

// The base of a front end's calls. It keeps the reference to the network's call, which is a
// net::HttpCallRef or a net::GrpcCallRef, until the answer has been sent. One thread at a time.
template <typename CallRef>
class NetCall : public InferCall {
 protected:
  // As InferCall::Start. `body` is the message or the body of `call`.
  void Start(Engine& engine, CallRef call, const Slice& body) {
    call_ = std::move(call);
    InferCall::Start(engine, InfoOf(*call_, body.size));
  }
  // As InferCall::Reset, and drops the reference.
  void Reset() {
    InferCall::Reset();
    call_ = {};
  }

  auto& call() const { return *call_; }

 private:
  std::string_view Header(std::string_view name) const final {
    return net::FindHeader(call_->head().headers, name);
  }

  CallRef call_;
};

}  // namespace penstock
