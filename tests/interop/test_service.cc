// SPDX-License-Identifier: Apache-2.0
#include "test_service.h"

#include <chrono>
#include <deque>
#include <memory>
#include <string>
#include <thread>
#include <utility>

#include "base/status.h"
#include "grpc_testing.pb.h"
#include "net/call.h"

namespace penstock {
namespace {

using grpc::testing::EchoStatus;
using grpc::testing::ResponseParameters;
using grpc::testing::SimpleRequest;
using grpc::testing::SimpleResponse;
using grpc::testing::StreamingInputCallRequest;
using grpc::testing::StreamingInputCallResponse;
using grpc::testing::StreamingOutputCallRequest;
using grpc::testing::StreamingOutputCallResponse;
using net::GrpcCallRef;
using net::OwnedHeaders;

constexpr int kPayloadBytesMax = 512 << 20;

ByteChain ToChain(const google::protobuf::MessageLite& message) {
  ByteChain chain;
  chain.AppendCopy(message.SerializeAsString());
  return chain;
}

template <typename Message>
bool Parse(const Slice& bytes, Message& message) {
  return message.ParseFromArray(bytes.data, static_cast<int>(bytes.size));
}

// Initial metadata and trailers that the client wants back. The name is a literal.
OwnedHeaders Echoed(const net::GrpcCall& call, std::string_view name) {
  const std::string_view value = net::FindHeader(call.head().headers, name);
  if (value.empty()) return {};
  return {{name, std::string(value)}};
}
OwnedHeaders EchoedInitial(const net::GrpcCall& call) {
  return Echoed(call, "x-grpc-test-echo-initial");
}
OwnedHeaders EchoedTrailing(const net::GrpcCall& call) {
  return Echoed(call, "x-grpc-test-echo-trailing-bin");
}

Status ToStatus(const EchoStatus& status) {
  return Status(static_cast<StatusCode>(status.code()), status.message());
}

void EmptyCall(GrpcCallRef call) { call->Respond(ByteChain(call->message())); }

void UnaryCall(GrpcCallRef call) {
  SimpleRequest request;
  if (!Parse(call->message(), request))
    return call->Finish(InvalidArgument("the message is no SimpleRequest"));
  if (request.has_response_status() && request.response_status().code() != 0)
    return call->Finish(ToStatus(request.response_status()), EchoedTrailing(*call));
  if (request.response_size() < 0 || request.response_size() > kPayloadBytesMax)
    return call->Finish(InvalidArgument("response_size is {}", request.response_size()));
  SimpleResponse response;
  response.mutable_payload()->set_body(
      std::string(static_cast<size_t>(request.response_size()), '\0'));
  const OwnedHeaders initial = EchoedInitial(*call), trailing = EchoedTrailing(*call);
  if (initial.empty() && trailing.empty()) return call->Respond(ToChain(response));
  call->SendInitialMetadata(initial);
  call->Write(ToChain(response), [call, trailing](bool ok) {
    if (ok) call->Finish(OkStatus(), trailing);
  });
}

// One client-streaming call: adds up what comes. Owned by loop.
class InputCall final : public std::enable_shared_from_this<InputCall> {
 public:
  explicit InputCall(GrpcCallRef call) : call_(std::move(call)) {}
  void Next() {
    call_->Read([self = shared_from_this()](std::optional<Slice> message) {
      if (!message) return self->End();
      StreamingInputCallRequest request;
      if (!Parse(*message, request))
        return self->call_->Finish(InvalidArgument("the message is no StreamingInputCallRequest"));
      self->sum_ += static_cast<int32_t>(request.payload().body().size());
      self->Next();
    });
  }

 private:
  void End() {
    StreamingInputCallResponse response;
    response.set_aggregated_payload_size(sum_);
    call_->Write(ToChain(response), [self = shared_from_this()](bool ok) {
      if (ok) self->call_->Finish(OkStatus());
    });
  }

  GrpcCallRef call_;
  int32_t sum_ = 0;
};

// One call with streamed answers: answers every message before it reads the next. Waiting between
// answers is done by a thread of the call's own. One thread at a time.
class OutputCall final : public std::enable_shared_from_this<OutputCall> {
 public:
  OutputCall(GrpcCallRef call, bool reads_once) : call_(std::move(call)), reads_once_(reads_once) {}

  void Start() {
    if (OwnedHeaders initial = EchoedInitial(*call_); !initial.empty())
      call_->SendInitialMetadata(std::move(initial));
    ReadNext();
  }

 private:
  void ReadNext() {
    call_->Read([self = shared_from_this()](std::optional<Slice> message) {
      if (!message) return self->End(OkStatus());
      StreamingOutputCallRequest request;
      if (!Parse(*message, request))
        return self->End(InvalidArgument("the message is no StreamingOutputCallRequest"));
      if (request.has_response_status() && request.response_status().code() != 0)
        return self->End(ToStatus(request.response_status()));
      self->answers_.assign(request.response_parameters().begin(),
                            request.response_parameters().end());
      self->AnswerNext();
    });
  }
  void AnswerNext() {
    if (answers_.empty()) return reads_once_ ? End(OkStatus()) : ReadNext();
    const ResponseParameters parameters = answers_.front();
    answers_.pop_front();
    if (parameters.size() < 0 || parameters.size() > kPayloadBytesMax)
      return End(InvalidArgument("size is {}", parameters.size()));
    if (parameters.interval_us() <= 0) return Send(parameters.size());
    std::thread([self = shared_from_this(), parameters] {
      const auto until =
          std::chrono::steady_clock::now() + std::chrono::microseconds(parameters.interval_us());
      while (!self->call_->cancel().IsCancelled() && std::chrono::steady_clock::now() < until)
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
      self->Send(parameters.size());
    }).detach();
  }
  void Send(int size) {
    StreamingOutputCallResponse response;
    response.mutable_payload()->set_body(std::string(static_cast<size_t>(size), '\0'));
    call_->Write(ToChain(response), [self = shared_from_this()](bool ok) {
      if (ok) self->AnswerNext();
    });
  }
  void End(const Status& status) { call_->Finish(status, EchoedTrailing(*call_)); }

  GrpcCallRef call_;
  const bool reads_once_;
  std::deque<ResponseParameters> answers_;
};

void AddOutputMethod(net::Router& router, std::string method, bool reads_once) {
  router.AddGrpc(
      {.method = std::move(method), .is_unary = false, .handler = [reads_once](GrpcCallRef call) {
         std::make_shared<OutputCall>(std::move(call), reads_once)->Start();
       }});
}

}  // namespace

void AddTestService(net::Router& router) {
  const std::string service = "/grpc.testing.TestService/";
  router.AddGrpc({.method = service + "EmptyCall", .handler = EmptyCall});
  router.AddGrpc({.method = service + "UnaryCall", .handler = UnaryCall});
  router.AddGrpc(
      {.method = service + "StreamingInputCall",
       .is_unary = false,
       .handler = [](GrpcCallRef call) { std::make_shared<InputCall>(std::move(call))->Next(); }});
  AddOutputMethod(router, service + "StreamingOutputCall", true);
  AddOutputMethod(router, service + "FullDuplexCall", false);
  AddOutputMethod(router, service + "HalfDuplexCall", false);
}

}  // namespace penstock
