// SPDX-License-Identifier: Apache-2.0
// How it works. A handler may use the call on any thread, but the stream and nghttp2 belong to the
// loop. So Respond and Write compress and count the message on the calling thread, because that is
// expensive. The rest of each function runs on the loop by RunOnLoop: directly if the caller is
// already there, otherwise as a posted task.
//
// The handler, the deadline, the client and an error of the stream may all end a call, at the same
// time. `is_answered_` decides: the first to set it ends the call, and later ones do nothing. Only
// the loss of the stream ends the call in any case. Detach then cuts the link to the stream in both
// directions, so that late answers find no stream and are dropped. Code that may end the call first
// takes a reference (`keep`), because the handler may drop the last one.
//
// A streaming call reads with Pump, at most one message ahead of the handler. The remaining bytes
// wait in `backlog_` and keep the client's window occupied, which is the back-pressure.
#include "net/grpc/call.h"

#include <algorithm>
#include <limits>
#include <utility>
#include <vector>

#include "base/check.h"
#include "net/access_check.h"
#include "net/call_observer.h"
#include "net/loop/loop_pool.h"
#include "net/loop/server_state.h"
#include "net/request_id.h"

namespace penstock::net {
namespace {

// A pooled call keeps at most this much memory of its backlog.
constexpr size_t kBacklogKept = 4096;

using GrpcCallPool = LoopPool<GrpcCallImpl>;
constexpr LoopPoolKind kPool = {LoopLocalKey::kGrpcCalls, 1024, sizeof(GrpcCallImpl)};

}  // namespace

GrpcCallImpl* NewGrpcCall(Loop& loop, GrpcStream& stream) {
  GrpcCallImpl* call = GrpcCallPool::Of(loop, kPool).Take().release();
  if (call == nullptr) call = new GrpcCallImpl(loop.shared_from_this());
  call->stream_ = &stream;
  call->request_id_ = loop.NextRequestId();
  return call;
}

GrpcCallImpl::GrpcCallImpl(std::shared_ptr<Loop> loop) : loop_(std::move(loop)), reader_(*loop_) {
  record_.filter = &loop_->server().call_filter;
}

GrpcCallImpl::~GrpcCallImpl() = default;

// --- the end of the call

void GrpcCallImpl::Destroy() {
  if (loop_->IsCurrent()) return OnUnreferenced();
  // The pool and the stream belong to the loop, so drop the last reference there. If the loop has
  // ended, the dropped task deletes the call.
  Ref();
  const std::shared_ptr<Loop> loop = loop_;
  loop->Post([owner = std::unique_ptr<GrpcCallImpl>(this)]() mutable { owner.release()->Unref(); });
}

void GrpcCallImpl::OnUnreferenced() {
  // The handler has dropped the call without an answer, which is an error of the handler. The
  // client must not wait for its deadline.
  if (stream_ != nullptr && is_started_) {
    const CallRef<GrpcCallImpl> keep = Share();
    return Fail(Error(StatusCode::kInternal, "the handler of {} gave no answer", route_->method));
  }
  ReturnToPool();
}

void GrpcCallImpl::ReturnToPool() {
  PENSTOCK_CHECK(stream_ == nullptr, "a call outlives its stream's hold");
  if (!loop_->is_shut_down()) loop_->server().ReportEnd(*this);
  Disarm();
  reader_.Reset();
  DropBacklog();
  head_storage_.Clear();
  message_ = {};
  Recycle();
  route_ = nullptr;
  compression_ = Compression::kNone;
  is_started_ = is_head_sent_ = has_message_ = has_ended_ = false;
  on_message_ = nullptr;
  on_accepted_ = nullptr;
  is_answered_.store(false, std::memory_order_relaxed);
  if (loop_->is_shut_down()) {
    delete this;
  } else {
    GrpcCallPool::Of(*loop_, kPool).Give(std::unique_ptr<GrpcCallImpl>(this));
  }
}

void GrpcCallImpl::Detach() {
  Disarm();
  reader_.Reset();
  DropBacklog();
  stream_->DetachCall();
  stream_ = nullptr;
  // Tell waiting handlers that nothing more will come.
  if (on_message_) std::exchange(on_message_, nullptr)(std::nullopt);
  if (on_accepted_) std::exchange(on_accepted_, nullptr)(false);
  if (!is_started_) Unref();
}

void GrpcCallImpl::OnStreamGone() {
  const CallRef<GrpcCallImpl> keep = Share();
  const bool was_answered = is_answered_.exchange(true, std::memory_order_acq_rel);
  // Detach first, then cancel: a handler that reacts to the token at once must find no stream.
  const CancelReason reason = ReasonToLeave();
  if (!was_answered) NoteLeft(reason);
  Detach();
  cancel_.Cancel(reason);
}

// A client that gives up at its deadline resets the stream shortly before the deadline passes here:
// its clock started earlier, and gRPC rounds the time up on the wire. So a reset in the last tenth
// of the time counts as a passed deadline.
CancelReason GrpcCallImpl::ReasonToLeave() const {
  if (deadline_ == kNoDeadline) return CancelReason::kClientLeft;
  const Duration left = deadline_ - loop_->server().clock.Now();
  return left <= (deadline_ - start_) / 10 ? CancelReason::kDeadline : CancelReason::kClientLeft;
}

// A watch ends when its client leaves, which is no error.
void GrpcCallImpl::NoteLeft(CancelReason reason) {
  if (record_.is_probe && !is_unary()) return;
  record_.code =
      reason == CancelReason::kDeadline ? StatusCode::kDeadlineExceeded : StatusCode::kCancelled;
  record_.NoteError("the client left before the end of the answer");
}

// --- the request

void GrpcCallImpl::OnHead(const GrpcRoute* route, const GrpcHeadFields& fields, SteadyTime now) {
  route_ = route;
  start_ = now;
  if (head_.caller != nullptr && !CheckAccess()) [[unlikely]]
    return;
  if (route == nullptr)
    return Fail(Error(StatusCode::kUnimplemented, "this server has no method {}", head_.path));
  if (const std::string_view refusal = head_.endpoint->grpc_refusal;
      !refusal.empty() && !route->on_every_port)
    return Fail(Error(StatusCode::kUnimplemented, "{}", refusal));
  if (!ReadHeadFields(fields)) return;
  // A unary call is counted when its message is complete (OnEnd). So a client that sends slowly
  // takes no place.
  if (!route->is_unary && !AdmitRequest()) return;
  if (deadline_ != kNoDeadline) loop_->timers().Arm(*this, deadline_);
  route->is_unary ? stream_->BeginReceiving() : StartHandler();
}

bool GrpcCallImpl::CheckAccess() {
  const RouteAccess rule = route_ == nullptr ? RouteAccess::kCallers : route_->access;
  if (MayUseRoute(*head_.caller, rule)) return true;
  loop_->server().metrics.access_refusals.Add();
  Fail(RouteRefusal(*head_.caller));
  return false;
}

bool GrpcCallImpl::ReadHeadFields(const GrpcHeadFields& fields) {
  Compression compression = Compression::kNone;
  if (fields.encoding == "gzip") {
    compression = Compression::kGzip;
  } else if (fields.encoding == "deflate") {
    compression = Compression::kZlib;
  } else if (!fields.encoding.empty() && fields.encoding != "identity") {
    Fail(
        Error(StatusCode::kUnimplemented,
              "messages compressed with '{}' cannot be read: use gzip or deflate", fields.encoding),
        {{"grpc-accept-encoding", "identity,deflate,gzip"}});
    return false;
  }
  if (!fields.timeout.empty()) {
    const std::optional<Duration> timeout = ParseGrpcTimeout(fields.timeout);
    if (!timeout) {
      Fail(Error(StatusCode::kInternal,
                 "grpc-timeout is '{}': it must be 1 to 8 digits and one of H, M, S, m, u, n",
                 fields.timeout));
      return false;
    }
    deadline_ = start_ + *timeout;
  }
  compression_ = AnswerCompression(compression, fields.accept_encoding);
  reader_.Start(
      {.compression = compression,
       .bytes_max = std::min(loop_->server().options.body_bytes_max, route_->message_bytes_max),
       .landing = route_->landing});
  return true;
}

// Answers have the compression of the request, if the client accepts that.
Compression GrpcCallImpl::AnswerCompression(Compression request, std::string_view accepted) const {
  if (request == Compression::kNone && !route_->compress) return Compression::kNone;
  if (request == Compression::kZlib && ListContains(accepted, "deflate")) return request;
  return ListContains(accepted, "gzip") ? Compression::kGzip : Compression::kNone;
}

// Called when a unary call is complete, or when the head of a streaming call has arrived.
bool GrpcCallImpl::AdmitRequest() {
  if (!route_->counts_as_request) return route_->is_unary || AdmitUncounted();
  if (stream_->BeginRequest()) return true;
  Fail(Error(StatusCode::kUnavailable, "the server is at its limit of {} requests at the same time",
             loop_->server().options.requests_max));
  return false;
}

bool GrpcCallImpl::AdmitUncounted() {
  if (stream_->BeginUncounted()) return true;
  Fail(Error(StatusCode::kResourceExhausted,
             "this connection has {} streams of this kind open, which is the limit "
             "(--watches_per_connection_max)",
             loop_->server().options.watches_per_connection_max));
  return false;
}

void GrpcCallImpl::StartHandler() {
  is_started_ = true;
  record_.bytes_in = message_.size;
  record_.is_probe = !route_->counts_as_request;
  if (loop_->server().observes_starts) [[unlikely]]
    loop_->server().options.observer->OnCallStart(*this);
  route_->handler(GrpcCallRef(this));
}

void GrpcCallImpl::OnData(std::span<const std::byte> bytes) {
  if (route_->is_unary) return ReceiveUnary(bytes);
  input_ = bytes;
  Pump();
}

void GrpcCallImpl::ReceiveUnary(std::span<const std::byte> bytes) {
  // Give the window back at once. The message is limited by its size and by the budget, so the
  // window need not hold it back.
  stream_->Consume(bytes.size());
  while (!bytes.empty()) {
    if (has_message_)
      return Fail(Error(StatusCode::kInternal,
                        "more than one message was sent to {}, which takes one", head_.path));
    const StatusOr<size_t> taken = reader_.Take(bytes);
    if (!taken.ok()) return Fail(taken.status());
    bytes = bytes.subspan(*taken);
    if (reader_.has_message()) {
      message_ = reader_.TakeMessage();
      has_message_ = true;
    }
  }
}

void GrpcCallImpl::OnEnd() {
  has_ended_ = true;
  if (!route_->is_unary) return Pump();
  if (!reader_.is_between_messages())
    return Fail(Error(StatusCode::kInternal, "the request ends in the middle of a message"));
  if (!has_message_)
    return Fail(
        Error(StatusCode::kInternal, "no message was sent to {}, which takes one", head_.path));
  if (!AdmitRequest()) return;
  StartHandler();
}

void GrpcCallImpl::Pump() {
  if (is_receiving_) return;
  const CallRef<GrpcCallImpl> keep = Share();  // the handler's callback may end the call
  is_receiving_ = true;
  while (stream_ != nullptr && PumpOnce()) {
  }
  is_receiving_ = false;
  if (stream_ != nullptr && !input_.empty()) KeepForLater(input_);
  input_ = {};
}

// Takes one step. Returns false if nothing can be done now.
bool GrpcCallImpl::PumpOnce() {
  if (reader_.has_message()) {
    if (!on_message_) return false;
    Slice message = reader_.TakeMessage();
    record_.bytes_in += message.size;
    std::exchange(on_message_, nullptr)(std::move(message));
    return true;
  }
  const bool has_backlog = backlog_used_ < backlog_.size();
  std::span<const std::byte> next = input_;
  if (has_backlog) next = std::as_bytes(std::span<const char>(backlog_)).subspan(backlog_used_);
  if (!next.empty()) {
    const StatusOr<size_t> taken = reader_.Take(next);
    if (!taken.ok()) {
      Fail(taken.status());
      return false;
    }
    stream_->Consume(*taken);
    if (has_backlog) {
      backlog_used_ += *taken;
      if (backlog_used_ == backlog_.size()) DropBacklog();
    } else {
      input_ = input_.subspan(*taken);
    }
    return true;
  }
  if (!has_ended_) return false;
  if (!reader_.is_between_messages()) {
    Fail(Error(StatusCode::kInternal, "the request ends in the middle of a message"));
    return false;
  }
  if (!on_message_) return false;
  std::exchange(on_message_, nullptr)(std::nullopt);
  return true;
}

void GrpcCallImpl::KeepForLater(std::span<const std::byte> bytes) {
  if (!loop_->TryTakeBodyBytes(bytes.size())) return Fail(loop_->server().request_budget->Refuse());
  backlog_.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
}

void GrpcCallImpl::DropBacklog() {
  if (backlog_.empty()) return;
  loop_->body_bytes().Give(backlog_.size());
  backlog_used_ = 0;
  backlog_.clear();
  if (backlog_.capacity() > kBacklogKept) backlog_ = {};
}

// --- the deadline

void GrpcCallImpl::OnTimer() {
  const CallRef<GrpcCallImpl> keep = Share();
  // An answer was given already.
  if (is_answered_.exchange(true, std::memory_order_acq_rel)) return;
  cancel_.Cancel(CancelReason::kDeadline);
  if (stream_ == nullptr) return;
  End(Error(StatusCode::kDeadlineExceeded, "the deadline passed before the call had ended"), {});
}

// --- the answer

bool GrpcCallImpl::MayRunNow() const {
  return loop_->IsCurrent() && on_the_way_.load(std::memory_order_acquire) == 0;
}

template <typename Task>
void GrpcCallImpl::RunOnLoop(Task task) {
  if (MayRunNow()) return task();
  on_the_way_.fetch_add(1, std::memory_order_acq_rel);
  loop_->Post([keep = Share(), task = std::move(task)]() mutable {
    keep->on_the_way_.fetch_sub(1, std::memory_order_acq_rel);
    task();
  });
}

void GrpcCallImpl::Respond(ByteChain&& message, const OkTrailers& trailers) {
  Compress(message);
  if (const Status status = CountUnsent(message); !status.ok()) return Finish(status, {});
  if (is_answered_.exchange(true, std::memory_order_acq_rel)) return;
  // The usual case of a small model. It needs no closure, which RunOnLoop would build.
  if (MayRunNow()) return Answer(std::move(message), trailers);
  RunOnLoop(
      [this, wire = std::move(message), trailers]() mutable { Answer(std::move(wire), trailers); });
}

void GrpcCallImpl::Answer(ByteChain&& message, const OkTrailers& trailers) {
  if (stream_ == nullptr) return;
  // SendMessage ends the call itself if the message is too large for gRPC.
  SendMessage(std::move(message));
  if (stream_ == nullptr) return;
  stream_->EndOk(trailers);
  Detach();
}

void GrpcCallImpl::Finish(const Status& status, OwnedHeaders trailers) {
  if (is_answered_.exchange(true, std::memory_order_acq_rel)) return;
  RunOnLoop([this, status, trailers = std::move(trailers)]() mutable {
    if (stream_ != nullptr) End(status, std::move(trailers));
  });
}

void GrpcCallImpl::Fail(const Status& status, OwnedHeaders trailers) {
  if (is_answered_.exchange(true, std::memory_order_acq_rel)) return;
  const CallRef<GrpcCallImpl> keep = Share();
  if (stream_ != nullptr) End(status, std::move(trailers));
  // Last, because the handler may react at once. Before it has started, nobody holds the token.
  if (is_started_) cancel_.Cancel();
}

void GrpcCallImpl::CutOff(std::string_view why) {
  if (is_answered_.exchange(true, std::memory_order_acq_rel)) return;
  const CallRef<GrpcCallImpl> keep = Share();
  if (stream_ != nullptr)
    End(Error(StatusCode::kUnavailable, "{} before the call had ended", why), {});
  if (is_started_) cancel_.Cancel(CancelReason::kServerStops);
}

void GrpcCallImpl::Read(absl::AnyInvocable<void(std::optional<Slice>)> on_message) {
  RunOnLoop([this, on_message = std::move(on_message)]() mutable {
    if (stream_ == nullptr) return on_message(std::nullopt);
    on_message_ = std::move(on_message);
    Pump();
  });
}

void GrpcCallImpl::SendInitialMetadata(OwnedHeaders metadata) {
  RunOnLoop([this, metadata = std::move(metadata)]() mutable {
    if (stream_ != nullptr && !is_head_sent_) SendHead(std::move(metadata));
  });
}

void GrpcCallImpl::Write(ByteChain message, absl::AnyInvocable<void(bool)> on_accepted) {
  Compress(message);
  if (const Status status = CountUnsent(message); !status.ok()) {
    Finish(status, {});
    CancelFromRun();
    return on_accepted(false);
  }
  RunOnLoop([this, wire = std::move(message), on_accepted = std::move(on_accepted)]() mutable {
    if (stream_ == nullptr) return on_accepted(false);
    on_accepted_ = std::move(on_accepted);
    SendMessage(std::move(wire));
    if (stream_ == nullptr) return CancelFromRun();  // the message was too large
    stream_->AskForRoom();
  });
}

void GrpcCallImpl::CancelFromRun() {
  if (!cancel_.Mark()) return;
  loop_->Post([keep = Share()] { keep->cancel_.RunCallback(); });
}

void GrpcCallImpl::OnRoom() {
  const CallRef<GrpcCallImpl> keep = Share();
  if (on_accepted_) std::exchange(on_accepted_, nullptr)(true);
}

Status GrpcCallImpl::CountUnsent(ByteChain& message) const {
  return RequestMemory(UINT64_MAX, &loop_->server().request_budget).Count(message);
}

void GrpcCallImpl::Compress(ByteChain& message) const {
  if (compression_ == Compression::kNone || message.empty()) return;
  message = compression_ == Compression::kGzip ? GzipCompress(message) : ZlibCompress(message);
}

void GrpcCallImpl::SendHead(OwnedHeaders metadata) {
  is_head_sent_ = true;
  if (record_.is_traced) [[unlikely]]
    AddTrace(metadata);
  stream_->SendHead(compression_, std::move(metadata));
}

void GrpcCallImpl::SendMessage(ByteChain&& message) {
  if (message.bytes() > std::numeric_limits<uint32_t>::max()) {
    is_answered_.store(true, std::memory_order_release);
    return End(
        Error(StatusCode::kResourceExhausted,
              "the answer has {} bytes; a gRPC message holds less than 4 GiB", message.bytes()),
        {});
  }
  if (!is_head_sent_) SendHead({});
  const bool is_compressed = compression_ != Compression::kNone && !message.empty();
  record_.bytes_out += message.bytes();
  stream_->AppendMessage(is_compressed, std::move(message));
}

void GrpcCallImpl::End(const Status& status, OwnedHeaders trailers) {
  record_.code = status.code();
  if (!status.ok()) record_.NoteError(MessageOf(status));
  if (status.ok() && trailers.empty() && is_head_sent_) {
    stream_->EndOk(OkTrailers::Plain());
    return Detach();
  }
  trailers.emplace(trailers.begin(), "grpc-status",
                   std::to_string(static_cast<int>(status.code())));
  if (!status.message().empty())
    trailers.emplace(trailers.begin() + 1, "grpc-message", EncodeGrpcMessage(MessageOf(status)));
  if (RequestIdText own; !status.ok())
    trailers.emplace_back(kRequestIdField, std::string(RequestIdOf(*this, own)));
  if (is_head_sent_) {
    stream_->EndWith(std::move(trailers));
  } else {
    if (record_.is_traced) AddTrace(trailers);
    stream_->SendTrailersOnly(std::move(trailers));
  }
  Detach();
}

}  // namespace penstock::net
