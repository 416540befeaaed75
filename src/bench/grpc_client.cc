// SPDX-License-Identifier: Apache-2.0
#include "bench/grpc_client.h"

#include <nghttp2/nghttp2.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <optional>

#include "base/calls/http_code.h"
#include "base/check.h"
#include "base/percent.h"

namespace penstock::bench {
namespace {

constexpr size_t kPrefixBytes = 5;
constexpr size_t kOutputBytes = 65536;           // frames that are sent at a time
constexpr int32_t kWindowBytes = 1 << 30;        // answers never wait for us
constexpr size_t kErrorTextBytesMax = 64 << 10;  // of the message of a call

// The grpc-timeout field: at most 8 digits and a unit.
std::string TimeoutText(Duration deadline) {
  const auto us = std::chrono::duration_cast<std::chrono::microseconds>(deadline).count();
  if (us <= 0) return "";
  return us < 100'000'000 ? fmt::format("{}u", us) : fmt::format("{}m", us / 1000);
}

nghttp2_nv Field(std::string_view name, std::string_view value) {
  return {reinterpret_cast<uint8_t*>(const_cast<char*>(name.data())),
          reinterpret_cast<uint8_t*>(const_cast<char*>(value.data())), name.size(), value.size(),
          NGHTTP2_NV_FLAG_NO_COPY_NAME | NGHTTP2_NV_FLAG_NO_COPY_VALUE};
}

int ParseInt(std::string_view text) {
  int value = -1;
  std::from_chars(text.data(), text.data() + text.size(), value);
  return value;
}

}  // namespace

// One call. Reused by later calls. One thread at a time.
struct GrpcClient::Call {
  GrpcClient* client = nullptr;
  const std::string* message = nullptr;
  size_t message_sent = 0;
  SteadyTime due;
  bool is_under_way = false;
  int http_status = 0;
  int grpc_status = -1;
  std::string error;  // the decoded grpc-message
  std::string body;   // with its prefix, if bodies are kept
  size_t body_bytes = 0;
};

// What nghttp2 calls.
struct GrpcClient::Callbacks {
  static Call* Find(nghttp2_session* session, int32_t id) {
    return static_cast<Call*>(nghttp2_session_get_stream_user_data(session, id));
  }
  static ssize_t ReadMessage(nghttp2_session*, int32_t, uint8_t* to, size_t headroom,
                             uint32_t* flags, nghttp2_data_source* source, void*) {
    Call& call = *static_cast<Call*>(source->ptr);
    const size_t size = std::min(headroom, call.message->size() - call.message_sent);
    std::memcpy(to, call.message->data() + call.message_sent, size);
    call.message_sent += size;
    if (call.message_sent == call.message->size()) *flags |= NGHTTP2_DATA_FLAG_EOF;
    return static_cast<ssize_t>(size);
  }
  static int OnHeader(nghttp2_session* session, const nghttp2_frame* frame, const uint8_t* name,
                      size_t name_size, const uint8_t* value, size_t value_size, uint8_t, void*) {
    Call* const call = Find(session, frame->hd.stream_id);
    if (call == nullptr) return 0;
    const std::string_view key(reinterpret_cast<const char*>(name), name_size);
    const std::string_view text(reinterpret_cast<const char*>(value), value_size);
    if (key == "grpc-status") {
      call->grpc_status = ParseInt(text);
    } else if (key == "grpc-message" && text.size() <= kErrorTextBytesMax) {
      call->error = PercentDecoded(text);
    } else if (key == ":status") {
      call->http_status = ParseInt(text);
    }
    return 0;
  }
  static int OnFrame(nghttp2_session*, const nghttp2_frame* frame, void* self) {
    GrpcClient& client = *static_cast<GrpcClient*>(self);
    if (frame->hd.type == NGHTTP2_SETTINGS) client.has_settings_ = true;
    if (frame->hd.type == NGHTTP2_GOAWAY) client.is_ending_ = true;
    return 0;
  }
  static int OnData(nghttp2_session* session, uint8_t, int32_t id, const uint8_t* data, size_t size,
                    void* self) {
    Call* const call = Find(session, id);
    if (call == nullptr) return 0;
    call->body_bytes += size;
    if (static_cast<GrpcClient*>(self)->keep_bodies_)
      call->body.append(reinterpret_cast<const char*>(data), size);
    return 0;
  }
  static int OnClose(nghttp2_session* session, int32_t id, uint32_t error, void* self) {
    if (Call* const call = Find(session, id); call != nullptr)
      static_cast<GrpcClient*>(self)->End(*call, error);
    return 0;
  }
};

GrpcClient::GrpcClient(Socket socket, const CallSettings& settings, bool keep_bodies,
                       OnAnswer on_answer)
    : settings_(settings),
      timeout_(TimeoutText(settings.deadline)),
      keep_bodies_(keep_bodies),
      on_answer_(std::move(on_answer)),
      socket_(std::move(socket)) {
  nghttp2_session_callbacks* callbacks = nullptr;
  PENSTOCK_CHECK(nghttp2_session_callbacks_new(&callbacks) == 0, "no memory");
  nghttp2_session_callbacks_set_on_header_callback(callbacks, Callbacks::OnHeader);
  nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, Callbacks::OnFrame);
  nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, Callbacks::OnData);
  nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, Callbacks::OnClose);
  PENSTOCK_CHECK(nghttp2_session_client_new(&session_, callbacks, this) == 0, "no memory");
  nghttp2_session_callbacks_del(callbacks);
  const nghttp2_settings_entry entries[] = {{NGHTTP2_SETTINGS_ENABLE_PUSH, 0},
                                            {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, kWindowBytes}};
  nghttp2_submit_settings(session_, NGHTTP2_FLAG_NONE, entries, std::size(entries));
  nghttp2_session_set_local_window_size(session_, NGHTTP2_FLAG_NONE, 0, kWindowBytes);
}

GrpcClient::~GrpcClient() { nghttp2_session_del(session_); }

uint32_t GrpcClient::streams_max() const {
  return nghttp2_session_get_remote_settings(session_, NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS);
}

void GrpcClient::Send(const std::string& message, SteadyTime due) {
  if (free_.empty()) {
    calls_.push_back(std::make_unique<Call>());
    calls_.back()->client = this;
    free_.push_back(calls_.back().get());
  }
  Call& call = *free_.back();
  free_.pop_back();
  ++in_flight_;
  call.message = &message;
  call.message_sent = 0;
  call.due = due;
  call.is_under_way = true;
  call.http_status = 0;
  call.grpc_status = -1;
  call.error.clear();
  call.body.clear();
  call.body_bytes = 0;
  std::array<nghttp2_nv, 32> fields = {Field(":method", "POST"),
                                       Field(":scheme", "http"),
                                       Field(":path", settings_.path),
                                       Field(":authority", settings_.authority),
                                       Field("te", "trailers"),
                                       Field("content-type", "application/grpc"),
                                       Field("user-agent", "penstock-bench")};
  size_t count = 7;
  if (!timeout_.empty()) fields[count++] = Field("grpc-timeout", timeout_);
  for (const auto& [name, value] : settings_.metadata) {
    if (count < fields.size()) fields[count++] = Field(name, value);
  }
  const nghttp2_data_provider body{.source = {.ptr = &call},
                                   .read_callback = Callbacks::ReadMessage};
  const int32_t id = nghttp2_submit_request(session_, nullptr, fields.data(), count, &body, &call);
  // Out of ids only after a billion calls on one connection: kRequestsMax is smaller.
  PENSTOCK_CHECK(id > 0, "nghttp2 takes no request");
}

void GrpcClient::End(Call& call, uint32_t http2_error) {
  if (!call.is_under_way) return;
  call.is_under_way = false;
  --in_flight_;
  Answer answer{
      .code = StatusCode::kUnknown, .message = call.error, .body = {}, .due = call.due, .at = now_};
  std::string text;
  if (call.grpc_status == 0 && call.body_bytes < kPrefixBytes) {
    answer.code = StatusCode::kInternal;
    answer.message = "the answer has no message";
  } else if (call.grpc_status >= 0) {
    answer.code = static_cast<StatusCode>(std::min(call.grpc_status, 16));
    if (keep_bodies_ && call.grpc_status == 0)
      answer.body = std::string_view(call.body).substr(kPrefixBytes);
  } else if (call.http_status > 0 && call.http_status != 200) {
    answer.code = CodeOfHttpStatus(call.http_status);
    text = fmt::format("the answer is HTTP status {}, not gRPC", call.http_status);
    answer.message = text;
  } else {
    answer.code = is_lost_ ? StatusCode::kUnavailable : StatusCode::kInternal;
    if (is_lost_) {
      answer.message = "the connection was lost";
    } else {
      text = fmt::format("the stream was reset: {}", nghttp2_http2_strerror(http2_error));
      answer.message = text;
    }
  }
  free_.push_back(&call);
  on_answer_(answer);
}

bool GrpcClient::FillOutput() {
  if (has_output()) return true;
  output_.clear();
  sent_ = 0;
  while (output_.size() < kOutputBytes) {
    const uint8_t* data = nullptr;
    const ssize_t size = nghttp2_session_mem_send(session_, &data);
    if (size < 0) return false;
    if (size == 0) break;
    output_.append(reinterpret_cast<const char*>(data), static_cast<size_t>(size));
  }
  return true;
}

Status GrpcClient::Flush() {
  for (;;) {
    if (!FillOutput()) return Lose("HTTP/2 failed");
    if (!has_output()) return OkStatus();
    const ssize_t sent =
        ::send(socket_.get(), output_.data() + sent_, output_.size() - sent_, MSG_NOSIGNAL);
    if (sent < 0 && errno == EINTR) continue;
    if (sent < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) return OkStatus();
    if (sent < 0) return Lose(std::strerror(errno));
    sent_ += static_cast<size_t>(sent);
  }
}

Status GrpcClient::Receive() {
  std::array<uint8_t, 65536> bytes;
  for (;;) {
    const ssize_t got = recv(socket_.get(), bytes.data(), bytes.size(), 0);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) return OkStatus();
    if (got < 0) return Lose(std::strerror(errno));
    if (got == 0)
      return Lose(has_settings_ ? "the server closed it"
                                : "the server closed it without HTTP/2; is this its gRPC port?");
    now_ = std::chrono::steady_clock::now();
    const ssize_t used = nghttp2_session_mem_recv(session_, bytes.data(), static_cast<size_t>(got));
    // After GOAWAY nghttp2 would refuse each further call.
    if (used != got || is_ending_ || nghttp2_session_want_read(session_) == 0)
      return Lose(has_settings_ ? "the server ended it"
                                : "the server does not speak HTTP/2; is this its gRPC port?");
    if (static_cast<size_t>(got) < bytes.size()) return OkStatus();
  }
}

Status GrpcClient::Lose(std::string_view why) {
  if (!is_lost_) {
    is_lost_ = true;
    now_ = std::chrono::steady_clock::now();
    // An answer may begin no call here: its owner sees the error first.
    for (size_t i = 0; i < calls_.size(); ++i) End(*calls_[i], 0);
  }
  return Error(StatusCode::kUnavailable, "the connection to {} is lost: {}", settings_.authority,
               why);
}

std::string FramedMessage(std::string_view message) {
  const auto size = static_cast<uint32_t>(message.size());
  std::string framed;
  framed.reserve(message.size() + kPrefixBytes);
  framed += '\0';
  for (const int shift : {24, 16, 8, 0}) framed += static_cast<char>(size >> shift & 0xff);
  framed += message;
  return framed;
}

StatusOr<std::string> CallOnce(const Endpoint& endpoint, const CallSettings& settings,
                               const std::string& framed, Duration timeout) {
  const SteadyTime end = std::chrono::steady_clock::now() + timeout;
  ASSIGN_OR_RETURN(Socket socket, endpoint.Connect(timeout));
  std::optional<StatusOr<std::string>> result;
  GrpcClient client(std::move(socket), settings, true, [&](const Answer& answer) {
    if (answer.code == StatusCode::kOk) {
      result.emplace(std::string(answer.body));
    } else {
      result.emplace(Error(answer.code, "{}", answer.message));
    }
  });
  client.Send(framed, std::chrono::steady_clock::now());
  while (!result) {
    TRY(client.Flush());
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(
        end - std::chrono::steady_clock::now());
    if (left.count() <= 0)
      return Error(StatusCode::kDeadlineExceeded, "{} did not answer within {} ms",
                   endpoint.target(),
                   std::chrono::duration_cast<std::chrono::milliseconds>(timeout).count());
    pollfd ready{.fd = client.socket(), .events = POLLIN, .revents = 0};
    if (client.has_output()) ready.events |= POLLOUT;
    poll(&ready, 1, static_cast<int>(left.count()));
    if ((ready.revents & ~POLLOUT) != 0) TRY(client.Receive());
  }
  return *std::move(result);
}

}  // namespace penstock::bench
