// SPDX-License-Identifier: Apache-2.0
// How it works. Who may answer: the handler, the deadline, the session when the client leaves, and
// this file when the request is bad. They may come at the same time, on different threads. Claim
// decides: the first to move `state_` from kOpen to kGiven answers, and the others do nothing. The
// answer is built on the thread that answers. Then Deliver runs on the loop, directly or as a
// posted task, and tells the session.
//
// Who keeps the call alive: `holds_` counts the session, all of the handler's references together,
// and an answer on its way to the loop. The handler's references have a counter of their own
// (Call). Destroy runs when that one reaches zero, and gives up one hold. The last hold returns the
// call to the pool if this is the loop's thread, because the pool has no lock. Otherwise it deletes
// the call.
//
// The order of checks for a request: path and method, then encoding and size, and only then the
// body. So a request that cannot be served costs no memory for its body. The limit of requests
// comes last, when the body is there: a slow client must not take a place while it sends.
#include "net/http/call.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/calls/thread_time.h"
#include "base/log.h"
#include "net/access_check.h"
#include "net/body/content_coding.h"
#include "net/call_observer.h"
#include "net/error_response.h"
#include "net/loop/loop_pool.h"

namespace penstock::net {
namespace {

// A shorter answer fits into one packet either way.
constexpr size_t kCompressBytesMin = 1024;
// The status of a call whose client did not wait for the answer, as nginx has it.
constexpr int kClientLeftStatus = 499;

using HttpCallPool = LoopPool<HttpCallImpl>;
constexpr LoopPoolKind kPool = {LoopLocalKey::kHttpCalls, 1024,
                                sizeof(HttpCallImpl) + kHeadBytesMin};

// The methods that the route allows, such as "GET, HEAD, POST".
std::string AllowedMethods(const HttpRoute& route) {
  std::string allowed;
  for (const std::string& method : route.methods) {
    allowed += (allowed.empty() ? "" : ", ") + method;
    if (method == "GET") allowed += ", HEAD";
  }
  return allowed + (allowed.empty() ? "OPTIONS" : ", OPTIONS");
}

bool Allows(const HttpRoute& route, std::string_view method) {
  if (route.methods.empty()) return true;
  return std::any_of(route.methods.begin(), route.methods.end(), [&](const std::string& allowed) {
    return allowed == method || (allowed == "GET" && method == "HEAD");
  });
}

// The route of a path, on the port of the request. Null if there is none.
const HttpRoute* FindRouteOf(const Router& router, const RequestHead& head) {
  const std::string_view own_paths = head.endpoint->own_paths;
  if (!own_paths.empty()) [[unlikely]] {
    const HttpRoute* const own = router.FindHttp(std::string(own_paths).append(head.path));
    if (own != nullptr) return own;
  }
  return router.FindHttp(head.path);
}

Compression CompressionOf(Coding coding) {
  if (coding == Coding::kGzip) return Compression::kGzip;
  return coding == Coding::kZstd ? Compression::kZstd : Compression::kNone;
}

}  // namespace

// Keeps a call alive without a reference; see holds_. One thread at a time.
class HttpCallImpl::Holder final {
 public:
  explicit Holder(HttpCallImpl* call) : call_(call) { call->Hold(); }
  Holder(Holder&& other) noexcept : call_(std::exchange(other.call_, nullptr)) {}
  Holder& operator=(Holder&&) = delete;
  ~Holder() {
    if (call_ != nullptr) call_->DropHold();
  }
  HttpCallImpl* operator->() const { return call_; }

 private:
  HttpCallImpl* call_;
};

HttpCallImpl* NewHttpCall(Loop& loop, HttpCallOwner& owner) {
  HttpCallImpl* call = HttpCallPool::Of(loop, kPool).Take().release();
  if (call == nullptr) call = new HttpCallImpl(loop.shared_from_this());
  call->owner_ = &owner;
  call->request_id_ = loop.NextRequestId();
  return call;
}

HttpCallImpl::HttpCallImpl(std::shared_ptr<Loop> loop) : loop_(std::move(loop)), receiver_(*loop_) {
  record_.filter = &loop_->server().call_filter;
}

void HttpCallImpl::Reset() {
  Recycle();
  body_ = {};
  receiver_.Reset();
  head_storage_.Clear();
  response_ = {};
  route_ = nullptr;
  state_.store(State::kOpen, std::memory_order_relaxed);
  holds_.store(1, std::memory_order_relaxed);
  is_large_ = vary_ = frees_head_ = is_reported_ = false;
  content_encoding_ = {};
  is_in_parts_ = has_given_end_ = is_body_open_ = false;
  on_accepted_ = nullptr;
}

void HttpCallImpl::DropHold() {
  // Read before the hold is gone, because the call may go with it. On the loop an owner means that
  // the session has a hold.
  const bool frees_head = frees_head_ && loop_->IsCurrent() && owner_ != nullptr && is_answered();
  // If this is the only hold, nobody else can add one, so the plain load saves an atomic write.
  if (holds_.load(std::memory_order_acquire) != 1) {
    const uint32_t holds = holds_.fetch_sub(1, std::memory_order_acq_rel);
    if (holds == 2 && frees_head) {
      ReportEnd();  // it needs the head
      owner_->OnHeadUnused(*this);
    }
    if (holds != 1) return;
  }
  // Here and not at the answer: a handler that was cancelled may still run, and its work must count
  // until it stops.
  if (std::exchange(has_slot_, false)) loop_->EndRequest();
  ReportEnd();
  if (loop_->IsCurrent() && !loop_->is_shut_down()) {
    Reset();
    HttpCallPool::Of(*loop_, kPool).Give(std::unique_ptr<HttpCallImpl>(this));
  } else {
    delete this;
  }
}

void HttpCallImpl::ReportEnd() {
  if (!std::exchange(is_reported_, true) && !loop_->is_shut_down())
    loop_->server().ReportEnd(*this);
}

// The handler's side has dropped its last reference.
void HttpCallImpl::Destroy() {
  if (state_.load(std::memory_order_acquire) == State::kOpen)
    Respond(ErrorResponse(500, "the server dropped the request without an answer"));
  if (is_in_parts_ && !has_given_end_) RunOnLoop([this] { CloseBody(/*is_complete=*/false); });
  if (!frees_head_ || loop_->IsCurrent()) return DropHold();
  // Only the loop may free the head, so the last hold of the handler's side must go there.
  const std::shared_ptr<Loop> loop = loop_;
  Holder holder(this);
  DropHold();
  loop->Post([holder = std::move(holder)] {});
}

void HttpCallImpl::OnHead(std::optional<uint64_t> content_length) {
  ServerState& server = loop_->server();
  start_ = ThreadTime::Read(server.clock);
  (head_.protocol == Protocol::kHttp1 ? server.metrics.http1_requests
                                      : server.metrics.http2_requests)
      .Add();
  if (FindRoute()) AdmitBody(content_length);
}

// Returns false if it has answered the request.
bool HttpCallImpl::FindRoute() {
  const Router& router = loop_->server().router;
  route_ = FindRouteOf(router, head_);
  if (head_.method == "OPTIONS" &&
      (route_ == nullptr || route_->methods.empty() || !Allows(*route_, head_.method))) {
    // Without asking who it is: browsers send no credentials with a preflight.
    AnswerOptions();
    return false;
  }
  if (head_.caller != nullptr && !CheckAccess()) return false;
  if (route_ == nullptr) {
    if (router.FindGrpc(head_.path) != nullptr) {
      Refuse(415, head_.protocol == Protocol::kHttp2
                      ? "this is a gRPC method: the content-type must be application/grpc"
                      : "this is a gRPC method: it takes application/grpc over HTTP/2");
    } else {
      Refuse(404, fmt::format("no such path: {:.256}", head_.path));
    }
    return false;
  }
  if (!Allows(*route_, head_.method)) {
    std::string allowed = AllowedMethods(*route_);
    const std::string message = fmt::format("{:.256} is not allowed for {:.256}; allowed: {}",
                                            head_.method, head_.path, allowed);
    Refuse(405, message, {{"allow", std::move(allowed)}});
    return false;
  }
  return true;
}

// Returns false if it has answered the request.
bool HttpCallImpl::CheckAccess() {
  const RouteAccess rule = route_ == nullptr ? RouteAccess::kCallers : route_->access;
  if (MayUseRoute(*head_.caller, rule)) return true;
  const Status status = RouteRefusal(*head_.caller);
  loop_->server().metrics.access_refusals.Add();
  if (status.code() == StatusCode::kUnauthenticated) {
    Refuse(401, MessageOf(status), {{"www-authenticate", "Bearer"}});
  } else {
    Refuse(403, MessageOf(status));
  }
  return false;
}

// Answers a CORS preflight as TensorFlow Serving does.
void HttpCallImpl::AnswerOptions() {
  const std::string_view origin = FindHeader(head_.headers, "origin");
  HttpResponse response;
  if (origin.starts_with("http://") || origin.starts_with("https://")) {
    response.content_type = {};
  } else {
    response = ErrorResponse(400,
                             "an OPTIONS request needs an Origin header that starts with "
                             "http:// or https://");
  }
  // If a route allows all methods, its handler decides which methods a path has. Strangers do not
  // learn which paths exist.
  const bool is_shown =
      route_ != nullptr && (head_.caller == nullptr || MayUseRoute(*head_.caller, route_->access));
  if (is_shown && !route_->methods.empty())
    response.headers.emplace_back("allow", AllowedMethods(*route_));
  Respond(std::move(response));
}

void HttpCallImpl::AdmitBody(std::optional<uint64_t> content_length) {
  std::string_view encoding;
  const Coding coding = BodyCoding(head_.headers, encoding);
  if (coding == Coding::kOther)
    return Refuse(
        415,
        fmt::format("content-encoding {:.256} is not supported; supported: gzip, zstd, identity",
                    encoding),
        {{"accept-encoding", "gzip, zstd"}});
  is_large_ = content_length.value_or(UINT64_MAX) > kSmallBodyBytes;
  const Status status = receiver_.Start({.length = content_length,
                                         .compression = CompressionOf(coding),
                                         .bytes_max = loop_->server().options.body_bytes_max,
                                         .landing = route_->landing});
  if (!status.ok()) RefuseBody(status);
}

void HttpCallImpl::RefuseBody(const Status& status) {
  receiver_.Reset();
  switch (status.code()) {
    case StatusCode::kOutOfRange:
      return Refuse(413, MessageOf(status));
    case StatusCode::kResourceExhausted:
      return Refuse(503, MessageOf(status), {{"retry-after", "1"}});
    default:
      return Refuse(400, MessageOf(status));
  }
}

std::span<std::byte> HttpCallImpl::BodyTarget() {
  if (state_.load(std::memory_order_relaxed) != State::kOpen) return {};
  return receiver_.Target();
}

bool HttpCallImpl::ReadsBodyInPlace() const {
  return state_.load(std::memory_order_relaxed) == State::kOpen && receiver_.has_target();
}

bool HttpCallImpl::WantsBodyPreview() const {
  return state_.load(std::memory_order_relaxed) == State::kOpen && receiver_.wants_preview();
}

void HttpCallImpl::PreviewBody(std::span<const std::byte> prefix) { receiver_.Preview(prefix); }

void HttpCallImpl::OnBody(std::span<const std::byte> bytes) {
  if (state_.load(std::memory_order_relaxed) != State::kOpen) return;
  if (const Status status = receiver_.Append(bytes); !status.ok()) RefuseBody(status);
}

void HttpCallImpl::OnBodyEnd() {
  if (state_.load(std::memory_order_relaxed) != State::kOpen) return;
  StatusOr<Slice> body = receiver_.Finish();
  if (!body.ok()) return RefuseBody(body.status());
  body_ = *std::move(body);
  if (route_->counts_as_request) {
    // Count the request only when it is complete. So clients that send half a request take no place
    // from others.
    if (!loop_->TryBeginRequest()) {
      return Refuse(503, "the server is serving as many requests as it may; try again later",
                    {{"retry-after", "1"}});
    }
    has_slot_ = true;
  }
  RunHandler(route_->handler);
}

void HttpCallImpl::RunHandler(const HttpHandler& handler) {
  const ServerState& server = loop_->server();
  const Duration timeout = server.options.http_request_timeout;
  // The time for receiving a large body does not count.
  if (timeout > Duration::zero())
    deadline_ = (is_large_ ? ThreadTime::Read(server.clock) : start_) + timeout;
  // The handler may answer at once, and the session may then close the call. `alive` keeps it.
  const Holder alive(this);
  record_.bytes_in = body_.size;
  record_.is_probe = !route_->counts_as_request;
  if (server.observes_starts) [[unlikely]]
    server.options.observer->OnCallStart(*this);
  Hold();  // for the handler's references; Destroy drops it
  handler(HttpCallRef(this));
  // Most handlers have answered by now, and need no timer. A handler that answers on another thread
  // after this check does no harm: its Deliver runs on this thread later, and disarms the timer.
  if (state_.load(std::memory_order_acquire) == State::kOpen && owner_ != nullptr)
    loop_->timers().Arm(*this, deadline_);
}

bool HttpCallImpl::Claim() {
  State expected = State::kOpen;
  return state_.compare_exchange_strong(expected, State::kGiven, std::memory_order_acq_rel);
}

void HttpCallImpl::Respond(HttpResponse&& response) {
  if (!Claim()) return;
  response_ = std::move(response);
  Compress();
  // The answer takes memory until the client has read it. A client that reads slowly would
  // otherwise hold memory that no limit counts.
  const Status status =
      RequestMemory(UINT64_MAX, &loop_->server().request_budget).Count(response_.body);
  if (!status.ok()) {
    response_ = ErrorResponse(503, MessageOf(status));
    response_.headers.emplace_back("retry-after", "1");
  }
  if (loop_->IsCurrent()) {
    Deliver();
  } else {
    // If the loop has ended, Post drops the task. The holder inside then gives up its hold, and the
    // call is freed.
    loop_->Post([holder = Holder(this)]() mutable { holder->Deliver(); });
  }
}

void HttpCallImpl::Refuse(int status, std::string_view message, OwnedHeaders headers) {
  const Holder alive(this);
  if (Claim()) DeliverRefusal(status, message, std::move(headers));
}

void HttpCallImpl::Cancel(CancelReason reason, int status, std::string_view message) {
  const Holder alive(this);
  if (!Claim()) return;
  cancel_.Cancel(reason);
  DeliverRefusal(status, message, {});
}

void HttpCallImpl::DeliverRefusal(int status, std::string_view message, OwnedHeaders headers) {
  LogRefusal(status, message);
  record_.NoteError(message);
  response_ = ErrorResponse(status, message);
  response_.headers = std::move(headers);
  Deliver();
}

// The fields of the head may be missing, since the head may be the error.
void HttpCallImpl::LogRefusal(int status, std::string_view message) const {
  if (!LogEnabled(LogLevel::kDebug)) return;
  RequestIdText own;
  const std::string_view id = RequestIdOf(*this, own);
  PENSTOCK_LOG_REQUEST(kDebug, request_id_, "{:.256} {:.256} from {} is answered {}: {}{}{}",
                       head_.method, head_.path, head_.peer, status, message,
                       id.data() == own.data() ? "" : "; the client calls it ",
                       id.data() == own.data() ? "" : id);
}

void HttpCallImpl::OnTimer() {
  if (is_body_open_) return EndPartsEarly(ending_.at_deadline, CancelReason::kDeadline);
  Cancel(CancelReason::kDeadline, 504, "the server did not answer within its time limit");
}

void HttpCallImpl::CutOff(std::string_view message) {
  if (is_body_open_) return EndPartsEarly(ending_.at_stop, CancelReason::kServerStops);
  Cancel(CancelReason::kServerStops, 503, message);
}

void HttpCallImpl::EndPartsEarly(std::string_view last, CancelReason reason) {
  const Holder alive(this);
  ByteChain end;
  end.Append({reinterpret_cast<const std::byte*>(last.data()), last.size(), {}});
  if (!end.empty()) owner_->OnBodyPart(*this, std::move(end));
  CloseBody(/*is_complete=*/true);
  // Last, because the handler may react at once.
  cancel_.Cancel(reason);
}

// Runs on the thread that answers, which may be any thread.
void HttpCallImpl::Compress() {
  if (route_ == nullptr || !route_->compress || !response_.compress ||
      response_.body.bytes() < kCompressBytesMin)
    return;
  for (const auto& [name, value] : response_.headers)
    if (EqualsIgnoringCase(name, "content-encoding")) return;
  // A cache must know that another client might get another form, even when this answer stays
  // plain.
  vary_ = true;
  const Coding coding = AnswerCoding(FindHeader(head_.headers, "accept-encoding"));
  if (coding == Coding::kIdentity) return;
  const bool is_zstd = coding == Coding::kZstd;
  ByteChain compressed = is_zstd ? ZstdCompress(response_.body) : GzipCompress(response_.body);
  // Random bytes do not shrink.
  if (compressed.bytes() >= response_.body.bytes()) return;
  response_.body = std::move(compressed);
  content_encoding_ = is_zstd ? "zstd" : "gzip";
}

// --- an answer in parts

template <typename Task>
void HttpCallImpl::RunOnLoop(Task task) {
  if (loop_->IsCurrent() && on_the_way_.load(std::memory_order_acquire) == 0) return task();
  on_the_way_.fetch_add(1, std::memory_order_acq_rel);
  loop_->Post([holder = Holder(this), task = std::move(task)]() mutable {
    holder->on_the_way_.fetch_sub(1, std::memory_order_acq_rel);
    task();
  });
}

void HttpCallImpl::RespondInParts(HttpResponse response, const PartsEnding& ending) {
  if (!Claim()) return;
  response_ = std::move(response);
  is_in_parts_ = true;
  ending_ = ending;
  RunOnLoop([this] {
    const Holder alive(this);
    is_body_open_ = owner_ != nullptr;
    Deliver();
    // From here on the deadline ends the body.
    if (is_body_open_) loop_->timers().Arm(*this, deadline_);
  });
}

void HttpCallImpl::Write(ByteChain part, absl::AnyInvocable<void(bool)> on_accepted) {
  RunOnLoop([this, part = std::move(part), on_accepted = std::move(on_accepted)]() mutable {
    if (!is_body_open_ || part.empty()) return on_accepted(is_body_open_);
    on_accepted_ = std::move(on_accepted);
    record_.bytes_out += part.bytes();
    owner_->OnBodyPart(*this, std::move(part));
  });
}

void HttpCallImpl::EndBody() {
  has_given_end_ = true;
  RunOnLoop([this] { CloseBody(/*is_complete=*/true); });
}

void HttpCallImpl::CancelFromRun() {
  if (!cancel_.Mark()) return;
  loop_->Post([holder = Holder(this)] { holder->cancel_.RunCallback(); });
}

void HttpCallImpl::CloseBody(bool is_complete) {
  if (!std::exchange(is_body_open_, false)) return;
  const Holder alive(this);
  Disarm();
  owner_->OnBodyEnd(*this, is_complete);
  if (on_accepted_) std::exchange(on_accepted_, nullptr)(false);
}

void HttpCallImpl::OnRoom() {
  if (on_accepted_) std::exchange(on_accepted_, nullptr)(true);
}

// --- the end

void HttpCallImpl::Deliver() {
  Disarm();
  state_.store(State::kAnswered, std::memory_order_release);
  request_id_field_ = RequestIdOf(*this, request_id_text_);
  if (owner_ == nullptr) return;
  // Whoever chose such a value could write an answer of their own.
  std::erase_if(response_.headers, [](const OwnedHeader& field) {
    return std::any_of(field.value.begin(), field.value.end(),
                       [](char c) { return c == '\r' || c == '\n'; });
  });
  if (record_.is_traced) [[unlikely]]
    AddTrace(response_.headers);
  if (!response_.error.empty() && record_.error.empty()) [[unlikely]]
    record_.NoteError(response_.error);
  record_.http_status = response_.status;
  record_.bytes_out = response_.body.bytes();
  owner_->OnAnswer(*this);
}

ByteChain HttpCallImpl::TakeBody() {
  if (head_.method == "HEAD") return {};
  return std::exchange(response_.body, {});
}

void HttpCallImpl::Close() {
  owner_ = nullptr;
  Disarm();
  receiver_.Reset();
  // The client has left before the end of the answer. The handler sees the token, and may stop the
  // model early.
  const bool has_open_body = std::exchange(is_body_open_, false);
  if (has_open_body && on_accepted_) std::exchange(on_accepted_, nullptr)(false);
  if (has_open_body || state_.load(std::memory_order_acquire) == State::kOpen) cancel_.Cancel();
  if (record_.http_status == 0 || has_open_body) {  // the answer has not reached the client
    record_.http_status = kClientLeftStatus;
    record_.NoteError("the client left before the end of the answer");
  }
  DropHold();
}

}  // namespace penstock::net
