// SPDX-License-Identifier: Apache-2.0
// How it works. Start submits the head, and a source of data; nghttp2 asks for the body when the
// windows of the server have space for it, and Fill adds the slices of the message as references.
// Answers are copied from the connection's bytes to the buffer in which their tensors stay.
//
// An answer is known when its stream ends, in a callback of nghttp2. It is given in Deliver, when
// nghttp2 is not on the call stack, since whoever gets it may begin or cancel other calls.
#include "net/client/session.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstring>
#include <utility>

#include "base/check.h"
#include "net/client/answer.h"
#include "net/grpc/wire.h"
#include "net/http2/memory.h"
#include "net/http2/nv.h"

namespace penstock::net {
namespace {

constexpr size_t kFrameHeadBytes = 9;
// What the landing function sees of a message at most.
constexpr size_t kLandingBytes = 4096;
constexpr uint32_t kAnswerFrameBytesMax = 1 << 20;

std::string_view TextOf(nghttp2_rcbuf* text) {
  const nghttp2_vec bytes = nghttp2_rcbuf_get_buf(text);
  return {reinterpret_cast<const char*>(bytes.base), bytes.len};
}

}  // namespace

// All static. user_data is the session.
struct ClientSession::Callbacks {
  static ClientSession& Of(void* user_data) { return *static_cast<ClientSession*>(user_data); }

  static int OnHeader(nghttp2_session*, const nghttp2_frame* frame, nghttp2_rcbuf* name,
                      nghttp2_rcbuf* value, uint8_t, void* user_data) {
    ClientSession& session = Of(user_data);
    ClientCall* const call = session.Find(frame->hd.stream_id);
    if (call == nullptr) return 0;
    return session.OnField(*call, TextOf(name), TextOf(value))
               ? 0
               : NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
  }

  static int OnData(nghttp2_session*, uint8_t, int32_t id, const uint8_t* data, size_t size,
                    void* user_data) {
    ClientSession& session = Of(user_data);
    if (ClientCall* const call = session.Find(id); call != nullptr)
      session.OnData(*call, {reinterpret_cast<const std::byte*>(data), size});
    return 0;
  }

  static int OnFrame(nghttp2_session*, const nghttp2_frame* frame, void* user_data) {
    ClientSession& session = Of(user_data);
    switch (frame->hd.type) {
      case NGHTTP2_DATA:
      case NGHTTP2_HEADERS: {
        ++session.frames_received_;
        if ((frame->hd.flags & NGHTTP2_FLAG_END_STREAM) == 0) break;
        ClientCall* const call = session.Find(frame->hd.stream_id);
        if (call != nullptr) session.OnEnd(*call);
        break;
      }
      case NGHTTP2_SETTINGS:
        session.has_settings_ |= (frame->hd.flags & NGHTTP2_FLAG_ACK) == 0;
        break;
      case NGHTTP2_PING:
        if ((frame->hd.flags & NGHTTP2_FLAG_ACK) != 0) session.pings_open_ = 0;
        break;
      case NGHTTP2_GOAWAY:
        session.OnGoaway();
        break;
      default:
        break;
    }
    return 0;
  }

  // A head that cannot be sent, because the server goes away.
  static int OnNotSent(nghttp2_session*, const nghttp2_frame* frame, int, void* user_data) {
    ClientSession& session = Of(user_data);
    if (frame->hd.type != NGHTTP2_HEADERS) return 0;
    if (ClientCall* const call = session.Find(frame->hd.stream_id); call != nullptr)
      session.Finish(*call, AnswerOfLoss("the server goes away", /*is_unprocessed=*/true));
    return 0;
  }

  static int OnSent(nghttp2_session*, const nghttp2_frame* frame, void* user_data) {
    // nghttp2 ends the session so if it finds a mistake of the server.
    if (frame->hd.type == NGHTTP2_GOAWAY) Of(user_data).has_found_mistake_ = true;
    if (frame->hd.type != NGHTTP2_HEADERS) return 0;
    if (ClientCall* const call = Of(user_data).Find(frame->hd.stream_id); call != nullptr)
      call->is_sent = true;
    return 0;
  }

  static int OnStreamClose(nghttp2_session*, int32_t id, uint32_t error_code, void* user_data) {
    ClientSession& session = Of(user_data);
    if (ClientCall* const call = session.Find(id); call != nullptr)
      session.OnClose(*call, error_code);
    return 0;
  }

  static ssize_t Send(nghttp2_session*, const uint8_t* data, size_t size, int, void* user_data) {
    Http2Output& output = Of(user_data).output_;
    if (output.is_full()) return NGHTTP2_ERR_WOULDBLOCK;
    output.Copy({reinterpret_cast<const std::byte*>(data), size});
    return static_cast<ssize_t>(size);
  }

  // How much of the body comes next. Its bytes are added in SendData.
  static ssize_t ReadBody(nghttp2_session*, int32_t id, uint8_t*, size_t size, uint32_t* flags,
                          nghttp2_data_source*, void* user_data) {
    const ClientCall* const call = Of(user_data).Find(id);
    if (call == nullptr) return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    const std::span<const Slice> slices = call->request.message.slices();
    size_t left = 0;
    for (size_t i = call->slice; i < slices.size() && left <= size; ++i)
      left += slices[i].size - (i == call->slice ? call->offset : 0);
    *flags |= NGHTTP2_DATA_FLAG_NO_COPY;
    if (left <= size) *flags |= NGHTTP2_DATA_FLAG_EOF;
    return static_cast<ssize_t>(std::min(left, size));
  }

  static int SendData(nghttp2_session*, nghttp2_frame* frame, const uint8_t* header, size_t size,
                      nghttp2_data_source*, void* user_data) {
    ClientSession& session = Of(user_data);
    if (session.output_.is_full()) return NGHTTP2_ERR_WOULDBLOCK;
    ClientCall* const call = session.Find(frame->hd.stream_id);
    if (call == nullptr) return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    session.output_.Copy({reinterpret_cast<const std::byte*>(header), kFrameHeadBytes});
    session.WriteBody(*call, size);
    return 0;
  }
};

const nghttp2_session_callbacks* ClientSession::CallbackTable() {
  static const nghttp2_session_callbacks* const table = [] {
    nghttp2_session_callbacks* made = nullptr;
    PENSTOCK_CHECK(nghttp2_session_callbacks_new(&made) == 0, "out of memory");
    nghttp2_session_callbacks_set_on_header_callback2(made, Callbacks::OnHeader);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(made, Callbacks::OnData);
    nghttp2_session_callbacks_set_on_frame_recv_callback(made, Callbacks::OnFrame);
    nghttp2_session_callbacks_set_on_frame_not_send_callback(made, Callbacks::OnNotSent);
    nghttp2_session_callbacks_set_on_frame_send_callback(made, Callbacks::OnSent);
    nghttp2_session_callbacks_set_on_stream_close_callback(made, Callbacks::OnStreamClose);
    nghttp2_session_callbacks_set_send_callback(made, Callbacks::Send);
    nghttp2_session_callbacks_set_send_data_callback(made, Callbacks::SendData);
    return made;
  }();
  return table;
}

ClientSession::ClientSession(ClientSessionHost& host, ClientSessionOptions options,
                             const Clock& clock)
    : host_(host), options_(std::move(options)), clock_(clock) {
  const int error =
      nghttp2_session_client_new3(&ng_, CallbackTable(), this, /*option=*/nullptr, Http2Memory());
  PENSTOCK_CHECK(error == 0, "out of memory");
  const std::array<nghttp2_settings_entry, 4> settings = {{
      {NGHTTP2_SETTINGS_ENABLE_PUSH, 0},
      {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, options_.stream_window_bytes},
      {NGHTTP2_SETTINGS_MAX_FRAME_SIZE, kAnswerFrameBytesMax},
      {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, static_cast<uint32_t>(options_.header_bytes_max)},
  }};
  nghttp2_submit_settings(ng_, NGHTTP2_FLAG_NONE, settings.data(), settings.size());
  nghttp2_session_set_local_window_size(ng_, NGHTTP2_FLAG_NONE, 0,
                                        static_cast<int32_t>(options_.connection_window_bytes));
}

ClientSession::~ClientSession() {
  PENSTOCK_CHECK(calls_.empty() && finished_.empty(), "a session with calls");
  nghttp2_session_del(ng_);
}

ClientCall* ClientSession::Find(int32_t stream) {
  const auto found = calls_.find(stream);
  return found == calls_.end() ? nullptr : found->second;
}

// --- out

void ClientSession::Start(ClientCall& call) {
  PENSTOCK_CHECK(is_open(), "the server goes away");
  SubmitHead(call);
  Deliver();
  host_.ScheduleFlush();
}

void ClientSession::SubmitHead(ClientCall& call) {
  const std::array<std::byte, kGrpcPrefixBytes> prefix =
      MakeGrpcPrefix(/*is_compressed=*/false, static_cast<uint32_t>(call.request.message.bytes()));
  ByteChain body;
  body.AppendCopy({reinterpret_cast<const char*>(prefix.data()), prefix.size()});
  body.Append(std::move(call.request.message));
  call.request.message = std::move(body);

  std::vector<nghttp2_nv> fields = {
      StaticField(":method", "POST"),
      StaticField(":scheme", options_.is_secure ? "https" : "http"),
      CopiedField(":path", call.request.path),
      Field(":authority", options_.authority),
      StaticField("te", "trailers"),
      StaticField("content-type", "application/grpc"),
      StaticField("user-agent", "penstock"),
  };
  std::string timeout;
  if (call.request.deadline != kNoDeadline) {
    timeout = FormatGrpcTimeout(call.request.deadline - clock_.Now());
    fields.push_back(CopiedField("grpc-timeout", timeout));
  }
  for (const auto& [name, value] : call.request.metadata)
    fields.push_back(CopiedField(name, value));
  const nghttp2_data_provider body_source{.source = {.ptr = nullptr},
                                          .read_callback = Callbacks::ReadBody};
  const int32_t stream =
      nghttp2_submit_request(ng_, nullptr, fields.data(), fields.size(), &body_source, nullptr);
  if (stream < 0) {
    // All ids of the connection are used: another one is needed.
    is_going_away_ = true;
    call.is_finished = true;
    call.answer = AnswerOfLoss("the connection has no stream left", /*is_unprocessed=*/true);
    finished_.push_back(&call);
    return;
  }
  call.stream = stream;
  calls_.emplace(stream, &call);
}

void ClientSession::WriteBody(ClientCall& call, size_t bytes) {
  const std::span<Slice> slices = call.request.message.mutable_slices();
  while (bytes > 0) {
    Slice& slice = slices[call.slice];
    const size_t size = std::min(bytes, slice.size - call.offset);
    output_.Add(slice, call.offset, size);
    bytes -= size;
    call.offset += size;
    if (call.offset < slice.size) break;
    call.offset = 0;
    ++call.slice;
  }
}

void ClientSession::Fill(ByteChain& out, size_t bytes_wanted) {
  output_.Begin(out, bytes_wanted);
  const int error = nghttp2_session_send(ng_);
  output_.End();
  PENSTOCK_CHECK(error != NGHTTP2_ERR_NOMEM, "out of memory");
  Deliver();
}

void ClientSession::Cancel(ClientCall& call) {
  // Its answer may wait to be given.
  std::erase(finished_, &call);
  if (Find(call.stream) != &call) return;  // a call of another connection may have this number
  calls_.erase(call.stream);
  nghttp2_submit_rst_stream(ng_, NGHTTP2_FLAG_NONE, call.stream, NGHTTP2_CANCEL);
  host_.ScheduleFlush();
}

void ClientSession::Ping() {
  ++pings_open_;
  nghttp2_submit_ping(ng_, NGHTTP2_FLAG_NONE, nullptr);
  host_.ScheduleFlush();
}

// --- in

Status ClientSession::OnBytes(std::span<const std::byte> bytes) {
  const ssize_t used =
      nghttp2_session_mem_recv(ng_, reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size());
  Deliver();
  if (HasOutput()) host_.ScheduleFlush();
  if (used < 0)
    return Error(StatusCode::kUnavailable, "the server's bytes are not HTTP/2: {}",
                 nghttp2_strerror(static_cast<int>(used)));
  return CheckServer();
}

Status ClientSession::CheckServer() const {
  if (!has_found_mistake_) return OkStatus();
  return Error(StatusCode::kUnavailable, "the server has broken the rules of HTTP/2");
}

// Calls that nghttp2 holds back are never sent now.
void ClientSession::OnGoaway() {
  is_going_away_ = true;
  std::vector<ClientCall*> unsent;
  for (const auto& [stream, call] : calls_) {
    if (!call->is_sent) unsent.push_back(call);
  }
  for (ClientCall* call : unsent) {
    nghttp2_submit_rst_stream(ng_, NGHTTP2_FLAG_NONE, call->stream, NGHTTP2_CANCEL);
    Finish(*call, AnswerOfLoss("the server goes away", /*is_unprocessed=*/true));
  }
}

bool ClientSession::OnField(ClientCall& call, std::string_view name, std::string_view value) {
  constexpr size_t kFieldOverhead = 32;  // as RFC 9113 counts a field
  call.header_bytes += name.size() + value.size() + kFieldOverhead;
  if (call.header_bytes > options_.header_bytes_max) {
    Finish(call, {.status = Error(StatusCode::kResourceExhausted,
                                  "the head of the server's answer is over the limit of {} bytes",
                                  options_.header_bytes_max)});
    return false;
  }
  // nghttp2 has checked that it has three digits.
  if (name == ":status") std::from_chars(value.begin(), value.end(), call.http_status);
  if (name == "content-type") call.is_grpc = IsGrpcContentType(value);
  if (name == "grpc-status") {
    const int status = ParseGrpcStatus(value);
    call.grpc_status = status < 0 ? static_cast<int>(StatusCode::kUnknown) : status;
  }
  if (name == "grpc-message") call.grpc_message = value;
  return true;
}

void ClientSession::OnData(ClientCall& call, std::span<const std::byte> bytes) {
  if (!call.is_grpc || call.http_status != 200) return;  // a page that explains the HTTP status
  if (call.prefix_bytes < kGrpcPrefixBytes) {
    const size_t size = std::min(kGrpcPrefixBytes - call.prefix_bytes, bytes.size());
    std::memcpy(call.prefix + call.prefix_bytes, bytes.data(), size);
    call.prefix_bytes += size;
    bytes = bytes.subspan(size);
    if (call.prefix_bytes < kGrpcPrefixBytes) return;
    BeginMessage(call);
    if (call.is_finished) return;
  }
  if (bytes.size() > call.message_bytes - call.received)
    return Refuse(call, Error(StatusCode::kInternal,
                              "the server's answer to a unary call goes on after its message"));
  Store(call, bytes);
}

void ClientSession::BeginMessage(ClientCall& call) {
  const auto byte = [&](size_t i) { return std::to_integer<uint64_t>(call.prefix[i]); };
  if (byte(0) != 0)
    return Refuse(call, Error(StatusCode::kInternal,
                              "the server has compressed its answer, although none was allowed"));
  call.message_bytes = byte(1) << 24 | byte(2) << 16 | byte(3) << 8 | byte(4);
  if (call.message_bytes > call.request.answer_bytes_max)
    return Refuse(call, Error(StatusCode::kResourceExhausted,
                              "the server's answer has {} bytes; the limit is {} bytes",
                              call.message_bytes, call.request.answer_bytes_max));
  if (call.message_bytes == 0) return;
  RequestMemory memory(UINT64_MAX, &call.request.budget);
  StatusOr<BufferRef> buffer = memory.Allocate(call.message_bytes + kBufferAlignment);
  if (!buffer.ok()) return Refuse(call, std::move(buffer).status());
  call.buffer = *std::move(buffer);
  call.is_landed = call.request.landing == nullptr;
}

void ClientSession::Store(ClientCall& call, std::span<const std::byte> bytes) {
  if (bytes.empty()) return;
  std::memcpy(call.buffer->data() + call.start + call.received, bytes.data(), bytes.size());
  call.received += bytes.size();
  if (!call.is_landed && call.received >= std::min<uint64_t>(call.message_bytes, kLandingBytes))
    Land(call);
}

// Moves what has arrived so that the tensor inside is aligned. It is little: one frame at most.
void ClientSession::Land(ClientCall& call) {
  call.is_landed = true;
  const size_t seen = std::min<size_t>(call.received, kLandingBytes);
  const size_t at = call.request.landing({call.buffer->data(), seen}, call.message_bytes);
  call.start = (kBufferAlignment - at % kBufferAlignment) % kBufferAlignment;
  std::memmove(call.buffer->data() + call.start, call.buffer->data(), call.received);
}

void ClientSession::OnEnd(ClientCall& call) {
  const int32_t stream = call.stream;
  Finish(call, AnswerOf(call));
  // The server has answered without the whole request. It gets no more of it.
  if (nghttp2_session_get_stream_local_close(ng_, stream) == 0)
    nghttp2_submit_rst_stream(ng_, NGHTTP2_FLAG_NONE, stream, NGHTTP2_CANCEL);
}

void ClientSession::OnClose(ClientCall& call, uint32_t error_code) {
  // nghttp2 reports streams above the last one of a GOAWAY, and those never sent, as refused.
  Finish(call, AnswerOfReset(error_code));
}

void ClientSession::Refuse(ClientCall& call, Status status) {
  const int32_t stream = call.stream;
  Finish(call, {.status = std::move(status)});
  nghttp2_submit_rst_stream(ng_, NGHTTP2_FLAG_NONE, stream, NGHTTP2_CANCEL);
}

void ClientSession::Finish(ClientCall& call, UnaryAnswer answer) {
  calls_.erase(call.stream);
  call.is_finished = true;
  call.answer = std::move(answer);
  finished_.push_back(&call);
}

void ClientSession::Deliver() {
  while (!finished_.empty()) {
    ClientCall& call = *finished_.back();
    finished_.pop_back();
    host_.OnAnswer(call);
  }
}

void ClientSession::Fail(std::string_view reason) {
  is_going_away_ = true;
  std::vector<ClientCall*> open;
  for (const auto& [stream, call] : calls_) open.push_back(call);
  for (ClientCall* call : open) Finish(*call, AnswerOfLoss(reason, !call->is_sent));
  Deliver();
}

}  // namespace penstock::net
