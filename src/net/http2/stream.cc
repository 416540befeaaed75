// SPDX-License-Identifier: Apache-2.0
// How it works. The stream collects the fields of the head. OnHead decides by method and
// content-type whether the request is gRPC or plain HTTP, makes a call of that kind, and swaps the
// storage of the head into it.
//
// nghttp2 never touches the body of an answer. The body waits in `segments_`, as references to the
// slices of the call. nghttp2 calls ReadBody to ask how many bytes the next DATA frame may have,
// and then WriteBody, which moves that many bytes to the output; big slices are not copied. If
// nothing is queued and the answer has not ended, ReadBody returns DEFERRED, and nghttp2 asks again
// only after Resume.
//
// If the answer ends before the request has, the client need not send the rest: after the last
// frame of the answer the stream is reset with NO_ERROR (RFC 9113, section 8.1). Some HTTP clients,
// such as curl 7.88, lose the answer then. So the rest of a small plain request is received and
// dropped instead, as long as it comes. Received bytes are given back to the windows in large
// steps, since most requests end before the first step.
#include "net/http2/stream.h"

#include <algorithm>
#include <charconv>
#include <utility>

#include "access/access_control.h"
#include "base/calls/thread_time.h"
#include "base/metrics/metrics.h"
#include "net/access_check.h"
#include "net/http2/nv.h"
#include "net/loop/server_state.h"

namespace penstock::net {
namespace {

// A streaming writer may write the next message while at most this many bytes are queued.
constexpr size_t kRoomBytes = 64 * 1024;
// The cost of a waiting answer, in addition to its body.
constexpr size_t kAnswerOverheadBytes = 100;
// A head up to this size is free. Larger heads count in the budget for bodies, in steps of this
// size.
constexpr size_t kHeadBytesUncharged = 4096;
// HTTP/2's definition of a field's size adds this much (RFC 9113, section 6.5.2).
constexpr size_t kFieldOverheadBytes = 32;
constexpr size_t kSegmentsKept = 64;
// A plain request with a body up to this size is received to its end when it has its answer.
constexpr uint64_t kDroppedBodyBytesMax = 1 << 20;
// But not if the client sends nothing for so long.
constexpr auto kDroppedBodyPause = std::chrono::seconds(1);

const std::array<nghttp2_nv, 2> kGrpcHead = {StaticField(":status", "200"),
                                             StaticField("content-type", "application/grpc")};

ssize_t ReadBodyCallback(nghttp2_session*, int32_t, uint8_t*, size_t length, uint32_t* flags,
                         nghttp2_data_source* source, void*) {
  return static_cast<Http2Stream*>(source->ptr)->ReadBody(length, flags);
}

std::optional<uint64_t> ParseLength(std::string_view text) {
  uint64_t length = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), length);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return length;
}

}  // namespace

// --- life

void Http2Stream::Open(StreamHost& session, int32_t id) {
  session_ = &session;
  id_ = id;
  last_received_ = last_sent_ = session.now();
}

void Http2Stream::Close() {
  if (pending_cost_ > 0) OnFirstOutput();
  if (early_end_) session_->OnEarlyEndDone();
  if (grpc_ != nullptr) grpc_->OnStreamGone();
  if (http_ != nullptr) std::exchange(http_, nullptr)->Close();
  if (write_times_ != nullptr) NoteWritten();
  if (written_call_) written_call_ = {};
  if (counts_) session_->loop().EndRequest();
  EndReceiving(/*is_complete=*/false);
  if (std::exchange(is_uncounted_, false)) session_->EndUncounted();
  session_->ConsumeConnection(unconsumed_);
  if (segments_.capacity() > kSegmentsKept) {
    segments_ = {};
  } else {
    segments_.clear();
  }
  kept_headers_.clear();
  trailers_.clear();
  ok_block_.clear();
  fields_.Clear();
  head_storage_.Clear();
  if (head_charge_ > 0) GiveHeadCharge();
  is_over_budget_ = false;
  content_length_ = kUnknown;
  body_bytes_ = 0;
  session_ = nullptr;
  head_bytes_ = segments_used_ = queued_bytes_ = 0;
  unreported_ = unconsumed_ = 0;
  counts_ = is_head_complete_ = is_malformed_ = has_received_end_ = early_end_ = false;
  is_plain_ = drops_rest_ = false;
  is_submitted_ = is_deferred_ = is_ended_ = wants_room_ = false;
}

// --- the head

bool Http2Stream::OnHeader(const FieldMemo::Field& field) {
  const size_t bytes_max = session_->header_bytes_max();
  head_bytes_ += field.name.size() + field.value.size() + kFieldOverheadBytes;
  // Count on, but keep nothing more. OnHead then answers with 431. Only a head that is far too
  // large ends the connection, since its decoding costs time.
  if (head_bytes_ > bytes_max) return head_bytes_ <= kHeaderBombFactor * bytes_max;
  if (is_malformed_) return true;
  if (is_head_complete_) {
    // The server ignores trailers, but they must be well-formed.
    if (IsPseudo(field.kind) || field.kind == FieldKind::kMalformed) OnMalformed();
    return true;
  }
  HeadStorage& storage = head_storage_;
  const size_t bytes = storage.memory_bytes() + field.name.size() + field.value.size();
  if (bytes > kHeadBytesUncharged + head_charge_ && !ChargeHead(bytes)) return true;
  if (!fields_.Add(field.kind)) {
    OnMalformed();
    return true;
  }
  const size_t at = IsPseudo(field.kind) ? storage.Append(field.value)
                                         : storage.AppendField(field.name, field.value);
  if (field.kind < FieldKind::kOther)
    positions_[static_cast<size_t>(field.kind)] = {at, field.value.size()};
  return true;
}

// Counts a large head in the budget for bodies. HPACK can expand few bytes to a large head. False:
// the budget has no memory left, and the rest of the head is dropped. A request with such a head
// counts as incomplete, so that others get the memory if the head does not end.
bool Http2Stream::ChargeHead(size_t bytes) {
  const size_t missing = bytes - kHeadBytesUncharged - head_charge_;
  const size_t charge = (missing / kHeadBytesUncharged + 1) * kHeadBytesUncharged;
  is_over_budget_ = is_over_budget_ || !session_->loop().TryTakeBodyBytes(charge);
  if (is_over_budget_) return false;
  head_charge_ += charge;
  if (!is_receiving_) BeginReceiving();
  return true;
}

void Http2Stream::GiveHeadCharge() {
  session_->loop().body_bytes().Give(std::exchange(head_charge_, 0));
}

// Frees the large head that `call` has taken over.
template <typename Call>
void Http2Stream::FreeHead(Call& call) {
  call.mutable_head() = {};
  call.head_storage() = {};
  if (head_charge_ > 0) GiveHeadCharge();
}

void Http2Stream::RefuseHead(bool is_grpc) {
  ServerState& server = session_->server();
  Status status;
  if (is_over_budget_) {
    status = server.request_budget->Refuse();
  } else {
    server.metrics.limit_header_bytes.Add();
    status = Error(StatusCode::kResourceExhausted, "the head of the request is too large");
  }
  if (is_grpc) {
    MakeGrpcCall();
    return grpc_->Fail(status);
  }
  StartHttp(is_over_budget_ ? 503 : 431, MessageOf(status));
}

// Resets the stream: a malformed request is a stream error (RFC 9113, section 8.1.1).
void Http2Stream::OnMalformed() {
  if (std::exchange(is_malformed_, true)) return;
  session_->OnMistake();
  nghttp2_submit_rst_stream(session_->ng(), NGHTTP2_FLAG_NONE, id_, NGHTTP2_PROTOCOL_ERROR);
  session_->OnOutput();
}

std::string_view Http2Stream::View(FieldKind kind, const HeadStorage& storage) const {
  if (!fields_.Has(kind)) return {};
  const Position position = positions_[static_cast<size_t>(kind)];
  return storage.View(position.at, position.size);
}

std::string_view Http2Stream::Path() const {
  const std::string_view path = View(FieldKind::kPath);
  return path.substr(0, path.find('?'));
}

bool Http2Stream::ReadContentLength() {
  if (!fields_.Has(FieldKind::kContentLength)) return true;
  const std::optional<uint64_t> length = ParseLength(View(FieldKind::kContentLength));
  if (length) content_length_ = *length;
  return length.has_value();
}

// The views point to the bytes of head_storage_, which do not move when it is swapped.
void Http2Stream::FillHead(RequestHead& head) {
  const std::string_view peer = session_->host().peer();
  // The call may outlive the connection, so it needs a copy of the peer's name. Append before the
  // first View: it may move the bytes.
  const size_t peer_at = head_storage_.Append(peer);
  const std::string_view path = View(FieldKind::kPath);
  const size_t question = path.find('?');
  head.method = View(FieldKind::kMethod);
  head.path = path.substr(0, question);
  if (question != path.npos) head.query = path.substr(question + 1);
  head.headers = head_storage_.Fields();
  head.authority =
      View(fields_.Has(FieldKind::kAuthority) ? FieldKind::kAuthority : FieldKind::kHost);
  head.protocol = Protocol::kHttp2;
  head.endpoint = &session_->host().endpoint();
  head.peer = head_storage_.View(peer_at, peer.size());
  if (access::CallerMemo* const callers = session_->callers(); callers != nullptr) [[unlikely]]
    head.caller = callers->Identify(AuthorizationOf(head.headers));
}

void Http2Stream::OnHead(bool has_ended) {
  if (is_malformed_) return;
  const bool is_refused = is_over_budget_ || head_bytes_ > session_->header_bytes_max();
  if (!is_refused && (!fields_.IsComplete(View(FieldKind::kMethod), View(FieldKind::kPath)) ||
                      !ReadContentLength()))
    return OnMalformed();
  // A large head has begun to count. The call counts again if a body is to come.
  EndReceiving(/*is_complete=*/false);
  is_head_complete_ = true;
  head_bytes_ = 0;  // from here on it counts the trailers
  const bool is_grpc = IsGrpcContentType(View(FieldKind::kContentType));
  const bool is_post = View(FieldKind::kMethod) == "POST";
  if (is_refused) {
    RefuseHead(is_grpc && is_post);
  } else if (is_grpc && is_post) {
    StartGrpc();
  } else if (is_grpc) {
    StartHttp(405, "a gRPC call must be a POST");
  } else {
    StartHttp(0, {});
  }
  if (has_ended) OnEnd();
}

void Http2Stream::OnTrailers(bool has_ended) { has_ended ? OnEnd() : OnMalformed(); }

void Http2Stream::MakeGrpcCall() {
  grpc_ = NewGrpcCall(session_->loop(), *this);
  FillHead(grpc_->mutable_head());
  std::swap(grpc_->head_storage(), head_storage_);
}

void Http2Stream::StartGrpc() {
  session_->server().metrics.grpc_requests.Add();
  MakeGrpcCall();
  const auto view = [this](FieldKind kind) { return View(kind, grpc_->head_storage()); };
  grpc_->OnHead(session_->FindGrpc(grpc_->head().path),
                {.timeout = view(FieldKind::kGrpcTimeout),
                 .encoding = view(FieldKind::kGrpcEncoding),
                 .accept_encoding = view(FieldKind::kGrpcAcceptEncoding)},
                session_->now());
  // A probe may stay open as long as the client likes.
  if (head_charge_ > 0 && is_uncounted_ && grpc_ != nullptr) FreeHead(*grpc_);
}

void Http2Stream::StartHttp(int refused_status, std::string_view why) {
  session_->server().metrics.http2_requests.Add();
  const bool expects = View(FieldKind::kExpect) == "100-continue";
  http_ = NewHttpCall(session_->loop(), *this);
  FillHead(http_->mutable_head());
  std::swap(http_->head_storage(), head_storage_);
  if (head_charge_ > 0) http_->FreeHeadWhenUnused();
  if (refused_status != 0) return http_->Refuse(refused_status, why);
  BeginReceiving();
  http_->OnHead(content_length_ == kUnknown ? std::nullopt : std::optional(content_length_));
  // A request that is refused by its head gets the final answer only, and the client saves its
  // body.
  if (expects && !http_->is_answered()) {
    const nghttp2_nv status = StaticField(":status", "100");
    nghttp2_submit_headers(session_->ng(), NGHTTP2_FLAG_NONE, id_, nullptr, &status, 1, nullptr);
    session_->OnOutput();
  }
}

// --- the body

void Http2Stream::OnData(std::span<const std::byte> bytes) {
  last_received_ = session_->now();
  unconsumed_ += bytes.size();
  body_bytes_ += bytes.size();
  if (is_receiving_) session_->NoteReceived(bytes.size());
  // RFC 9113, section 8.1.1: the DATA frames must add up to the Content-Length. The end of the
  // stream checks for too little.
  if (body_bytes_ > content_length_) OnMalformed();
  if (is_malformed_) return Consume(bytes.size());
  if (grpc_ != nullptr) return grpc_->OnData(bytes);
  if (http_ != nullptr && !http_->is_answered()) http_->OnBody(bytes);
  Consume(bytes.size());
  if (drops_rest_ && body_bytes_ > kDroppedBodyBytesMax) StopReceiving();
}

void Http2Stream::BeginReceiving() {
  is_receiving_ = true;
  session_->BeginReceiving(*this);
}

void Http2Stream::EndReceiving(bool is_complete) {
  if (std::exchange(is_receiving_, false)) session_->EndReceiving(*this, is_complete);
}

void Http2Stream::RefuseIncomplete() {
  constexpr std::string_view kWhy =
      "too many requests are begun and not sent whole, several of them by this connection; try "
      "again later";
  is_receiving_ = false;
  if (!is_head_complete_) return DropIncomplete();
  if (drops_rest_) return StopReceiving();
  if (grpc_ != nullptr) return grpc_->Fail(Error(StatusCode::kUnavailable, "{}", kWhy));
  if (http_ != nullptr && !http_->is_answered()) http_->Refuse(503, kWhy);
}

void Http2Stream::DropIncomplete() {
  EndReceiving(/*is_complete=*/false);
  if (!is_head_complete_) {
    is_malformed_ = true;  // nghttp2 decodes the rest of the head, and nobody keeps it
    head_storage_ = {};
    if (head_charge_ > 0) GiveHeadCharge();
  }
  nghttp2_submit_rst_stream(session_->ng(), NGHTTP2_FLAG_NONE, id_, NGHTTP2_REFUSED_STREAM);
  session_->OnOutput();
}

bool Http2Stream::BeginRequest() {
  counts_ = session_->loop().TryBeginRequest();
  return counts_;
}

bool Http2Stream::BeginUncounted() {
  is_uncounted_ = session_->BeginUncounted();
  return is_uncounted_;
}

void Http2Stream::OnEnd() {
  if (content_length_ != kUnknown && body_bytes_ != content_length_) OnMalformed();
  if (is_malformed_) return;
  has_received_end_ = true;
  EndReceiving(/*is_complete=*/true);
  if (grpc_ != nullptr) return grpc_->OnEnd();
  if (http_ != nullptr) http_->OnBodyEnd();
}

void Http2Stream::Consume(size_t bytes) {
  unconsumed_ -= bytes;
  session_->ConsumeConnection(bytes);
  if (has_received_end_) return;
  unreported_ += bytes;
  // nghttp2 sends a WINDOW_UPDATE when half a window is consumed. Most requests end before that, so
  // fewer calls suffice.
  if (unreported_ < session_->server().options.http2_stream_window_bytes / 8) return;
  nghttp2_session_consume_stream(session_->ng(), id_, unreported_);
  unreported_ = 0;
}

void Http2Stream::DetachCall() {
  // The record of the call has the time at which the answer was written. But a large head must not
  // wait for a client that reads nothing.
  const bool is_observed = session_->server().observes_successes || grpc_->record().is_traced;
  if (is_observed && head_charge_ == 0) written_call_ = grpc_->Share();
  grpc_ = nullptr;
  // The handler drops the call with its head, but the answer may wait for the client.
  if (head_charge_ > 0) GiveHeadCharge();
  Consume(unconsumed_);
}

// Only for an answer of the handler: the handler's thread may still write the record of another.
void Http2Stream::NoteAnswered(const CallRecord& record) {
  write_times_ = record.write_times;
  answered_ = ThreadTime::LastSince(session_->now(), session_->server().clock);
}

// Nearly all answers leave in the turn that made them. Only the others count, so that this costs
// them little.
void Http2Stream::NoteWritten() {
  if (session_->now() > answered_) {
    const Duration time = ThreadTime::Read(session_->server().clock) - answered_;
    write_times_->Record(std::chrono::duration<double, std::micro>(time).count());
  }
  write_times_ = nullptr;
}

void Http2Stream::OnTick(SteadyTime now) {
  const ServerOptions& options = session_->server().options;
  if (drops_rest_ && now - last_received_ > kDroppedBodyPause) StopReceiving();
  if (!has_received_end_ && options.body_timeout > Duration::zero() &&
      now - last_received_ > options.body_timeout) {
    if (http_ != nullptr && !http_->is_answered()) {
      session_->server().metrics.limit_timeouts.Add();
      http_->Refuse(408, "the body did not arrive in time");
    } else if (grpc_ != nullptr && grpc_->is_unary()) {
      session_->server().metrics.limit_timeouts.Add();
      grpc_->Fail(Error(StatusCode::kDeadlineExceeded, "the message did not arrive in time"));
    }
  }
  if (queued_bytes_ > 0 && options.write_timeout > Duration::zero() &&
      now - last_sent_ > options.write_timeout) {
    session_->server().metrics.limit_timeouts.Add();
    nghttp2_submit_rst_stream(session_->ng(), NGHTTP2_FLAG_NONE, id_, NGHTTP2_CANCEL);
    session_->OnOutput();
  }
}

void Http2Stream::OnAnnounce(const char* reason) {
  if (grpc_ != nullptr && grpc_->ends_on_drain() && !grpc_->is_unary())
    grpc_->Fail(absl::UnavailableError(reason));
}

void Http2Stream::CutOff(std::string_view why, CutCalls& cut) {
  if (grpc_ != nullptr) {
    cut.Add(cut.grpc, *grpc_);
    grpc_->CutOff(why);
  } else if (http_ != nullptr && http_->is_open()) {
    cut.Add(cut.http2, *http_);
    http_->CutOff(fmt::format(
        "{} {}", why,
        has_received_end_ ? "before the answer was there" : "while the body was not complete"));
  }
}

// --- the answer

void Http2Stream::OnAnswer(HttpCallImpl& call) {
  is_plain_ = true;
  absl::InlinedVector<nghttp2_nv, 12> fields;
  const std::string status = std::to_string(call.status());
  const std::string length = std::to_string(call.body_bytes());
  fields.push_back(CopiedField(":status", status));
  call.ForEachHeader([&](std::string_view name, std::string_view value) {
    fields.push_back(CopiedField(name, value));
  });
  if (call.status() != 204 && call.status() != 304 && !call.is_in_parts())
    fields.push_back(CopiedField("content-length", length));
  ByteChain body = call.TakeBody();
  const bool has_body = !body.empty() || call.is_in_parts();
  for (Slice& slice : body.mutable_slices()) AppendSegment({{}, 0, std::move(slice)});
  SubmitHead({fields.data(), fields.size()}, has_body);
  if (has_body && !call.is_in_parts()) EndWith({});
  if (call.status() == 200) NoteAnswered(call.record());
}

void Http2Stream::OnBodyPart(HttpCallImpl&, ByteChain&& part) {
  if (queued_bytes_ == 0) last_sent_ = session_->now();
  for (Slice& slice : part.mutable_slices()) AppendSegment({{}, 0, std::move(slice)});
  Resume();
  AskForRoom();
}

void Http2Stream::OnBodyEnd(HttpCallImpl&, bool is_complete) {
  if (is_complete) return EndWith({});
  nghttp2_submit_rst_stream(session_->ng(), NGHTTP2_FLAG_NONE, id_, NGHTTP2_INTERNAL_ERROR);
  session_->OnOutput();
}

// The answer may wait long for the client. Meanwhile a large head would take memory for nothing.
void Http2Stream::OnHeadUnused(HttpCallImpl& call) { FreeHead(call); }

void Http2Stream::SendHead(Compression compression, OwnedHeaders metadata) {
  if (compression == Compression::kNone && metadata.empty())
    return SubmitHead(kGrpcHead, /*has_body=*/true);
  kept_headers_ = std::move(metadata);
  SubmitKept(compression, /*has_body=*/true);
}

void Http2Stream::SendTrailersOnly(OwnedHeaders trailers) {
  kept_headers_ = std::move(trailers);
  SubmitKept(Compression::kNone, /*has_body=*/false);
}

// Submits the head of a gRPC answer with kept_headers_.
void Http2Stream::SubmitKept(Compression compression, bool has_body) {
  absl::InlinedVector<nghttp2_nv, 8> fields(kGrpcHead.begin(), kGrpcHead.end());
  if (compression != Compression::kNone) {
    const bool is_gzip = compression == Compression::kGzip;
    fields.push_back(StaticField("grpc-encoding", is_gzip ? "gzip" : "deflate"));
  }
  for (const auto& [name, value] : kept_headers_) fields.push_back(Field(name, value));
  SubmitHead({fields.data(), fields.size()}, has_body);
}

void Http2Stream::SubmitHead(std::span<const nghttp2_nv> fields, bool has_body) {
  is_submitted_ = true;
  last_sent_ = session_->now();
  nghttp2_data_provider provider;
  provider.source.ptr = this;
  provider.read_callback = ReadBodyCallback;
  if (!has_body) {
    is_ended_ = true;
    session_->OnAnswered();
    if (has_ended_early()) {
      early_end_ = true;
      session_->OnEarlyEnd();
    }
  }
  const int error = nghttp2_submit_response(session_->ng(), id_, fields.data(), fields.size(),
                                            has_body ? &provider : nullptr);
  if (error != 0)
    nghttp2_submit_rst_stream(session_->ng(), NGHTTP2_FLAG_NONE, id_, NGHTTP2_INTERNAL_ERROR);
  pending_cost_ = kAnswerOverheadBytes + queued_bytes_;
  pending_flush_ = session_->AddPending(pending_cost_);
  session_->OnFrameSent();
  session_->OnOutput();
}

void Http2Stream::OnFirstOutput() {
  session_->RemovePending(std::exchange(pending_cost_, 0), pending_flush_);
}

void Http2Stream::AppendSegment(Segment&& segment) {
  queued_bytes_ += segment.prefix_bytes + segment.slice.size;
  segments_.push_back(std::move(segment));
}

void Http2Stream::AppendMessage(bool is_compressed, ByteChain&& message) {
  Segment first;
  first.prefix = MakeGrpcPrefix(is_compressed, static_cast<uint32_t>(message.bytes()));
  first.prefix_bytes = kGrpcPrefixBytes;
  const std::span<Slice> slices = message.mutable_slices();
  if (!slices.empty()) first.slice = std::move(slices[0]);
  if (queued_bytes_ == 0) last_sent_ = session_->now();
  AppendSegment(std::move(first));
  for (size_t i = 1; i < slices.size(); ++i) AppendSegment({{}, 0, std::move(slices[i])});
  Resume();
}

void Http2Stream::EndWith(OwnedHeaders trailers) {
  trailers_ = std::move(trailers);
  is_ended_ = true;
  session_->OnAnswered();
  Resume();
}

void Http2Stream::EndOk(const OkTrailers& trailers) {
  NoteAnswered(grpc_->record());
  ok_block_ = trailers.block();
  EndWith({});
}

void Http2Stream::Resume() {
  if (!is_deferred_) return;
  is_deferred_ = false;
  nghttp2_session_resume_data(session_->ng(), id_);
  session_->OnOutput();
}

void Http2Stream::AskForRoom() {
  if (queued_bytes_ > kRoomBytes) {
    wants_room_ = true;
    return;
  }
  session_->NotifyRoom(id_);
  session_->OnOutput();
}

void Http2Stream::OnRoom() {
  if (grpc_ != nullptr) return grpc_->OnRoom();
  if (http_ != nullptr) http_->OnRoom();
}

// --- for nghttp2

ssize_t Http2Stream::ReadBody(size_t bytes_max, uint32_t* flags) {
  if (pending_cost_ > 0) OnFirstOutput();
  if (queued_bytes_ == 0 && !is_ended_) {
    is_deferred_ = true;
    return NGHTTP2_ERR_DEFERRED;
  }
  const size_t bytes = std::min(queued_bytes_, bytes_max);
  // nghttp2 then calls SendData, which adds references to the output.
  *flags |= NGHTTP2_DATA_FLAG_NO_COPY;
  if (is_ended_ && bytes == queued_bytes_) {
    *flags |= NGHTTP2_DATA_FLAG_EOF;
    if (has_ended_early()) {
      early_end_ = true;
      session_->OnEarlyEnd();
    }
    SubmitTrailers(flags);
  }
  return static_cast<ssize_t>(bytes);
}

void Http2Stream::SubmitTrailers(uint32_t* flags) {
  // Only nghttp2 can announce the new size of the table. SETTINGS that come after this, and before
  // the DATA frame is written, are acknowledged behind the trailers, so they do not apply to them.
  absl::InlinedVector<nghttp2_nv, 4> fields;
  if (session_->has_new_table_size() && !ok_block_.empty()) [[unlikely]] {
    for (const auto& [name, value] : OkTrailers::FieldsOf(ok_block_))
      fields.push_back(CopiedField(name, value));
    ok_block_.clear();
  }
  for (const auto& [name, value] : trailers_) fields.push_back(Field(name, value));
  // nghttp2 ends the stream with the DATA frame. See WriteLastFrames.
  if (fields.empty()) return;
  *flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
  nghttp2_submit_trailer(session_->ng(), id_, fields.data(), fields.size());
}

void Http2Stream::WriteBody(Http2Output& output, size_t bytes) {
  last_sent_ = session_->now();
  queued_bytes_ -= bytes;
  while (bytes > 0) {
    Segment& segment = segments_[segments_used_];
    if (const size_t prefix = std::min<size_t>(segment.prefix_bytes, bytes); prefix > 0) {
      output.Copy(
          std::span(segment.prefix).subspan(kGrpcPrefixBytes - segment.prefix_bytes, prefix));
      segment.prefix_bytes -= static_cast<uint8_t>(prefix);
      bytes -= prefix;
    }
    const size_t size = std::min(segment.slice.size, bytes);
    if (size > 0) output.Add(segment.slice, 0, size);
    segment.slice.data += size;
    segment.slice.size -= size;
    bytes -= size;
    if (segment.prefix_bytes > 0 || segment.slice.size > 0) break;
    segment.slice = {};
    ++segments_used_;
  }
  if (segments_used_ == segments_.size() || segments_used_ >= kSegmentsKept) {
    // Used segments are removed many at a time, because each removal moves the rest.
    segments_.erase(segments_.begin(), segments_.begin() + static_cast<ptrdiff_t>(segments_used_));
    segments_used_ = 0;
  }
  if (wants_room_ && queued_bytes_ <= kRoomBytes) {
    wants_room_ = false;
    AskForRoom();
  }
}

void Http2Stream::OnEndSent() {
  if (!std::exchange(early_end_, false)) return;
  session_->OnEarlyEndDone();
  if (has_received_end_) return;
  const uint64_t body_bytes = content_length_ == kUnknown ? body_bytes_ : content_length_;
  drops_rest_ = is_plain_ && body_bytes <= kDroppedBodyBytesMax;
  if (!drops_rest_) StopReceiving();
}

void Http2Stream::StopReceiving() {
  drops_rest_ = false;
  if (has_received_end_) return;
  nghttp2_submit_rst_stream(session_->ng(), NGHTTP2_FLAG_NONE, id_, NGHTTP2_NO_ERROR);
  session_->OnOutput();
}

}  // namespace penstock::net
