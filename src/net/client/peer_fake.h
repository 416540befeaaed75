// SPDX-License-Identifier: Apache-2.0
// Servers for tests of the client: nghttp2's server side, which does what a test says, in memory.
#pragma once

#include <nghttp2/nghttp2.h>

#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "net/client/session.h"
#include "net/grpc/wire.h"
#include "net/http2/nv.h"

namespace penstock::net {

// The answers that a session has given. Makes calls, and owns them. One thread.
class FakeSessionOwner final : public ClientSessionHost {
 public:
  void ScheduleFlush() override { wants_flush = true; }
  void OnAnswer(ClientCall& call) override {
    call.Disarm();
    UnaryDone done = std::move(call.done);
    UnaryAnswer answer = std::move(call.answer);
    calls.erase(call.id);
    done(std::move(answer));
  }
  // Makes a call whose answer goes to `answers[id]`.
  ClientCall& Make(uint64_t id, UnaryRequest request) {
    auto& call = calls[id];
    call = std::make_unique<ClientCall>(
        id, std::move(request),
        [this, id](UnaryAnswer&& answer) { answers.emplace(id, std::move(answer)); },
        [](ClientCall&) {});
    return *call;
  }

  bool wants_flush = false;
  std::map<uint64_t, std::unique_ptr<ClientCall>> calls;
  std::map<uint64_t, UnaryAnswer> answers;
};

// A stream that the server has got.
struct FakeStream {
  std::map<std::string, std::string> fields;
  std::string body;
  bool has_ended = false;
  uint32_t reset = 0;
  bool is_reset = false;
};

// A server on the other side of a ClientSession. A test answers its streams by hand, or sends any
// bytes. One thread.
class FakePeer final {
 public:
  explicit FakePeer(const std::vector<nghttp2_settings_entry>& settings = {}) {
    nghttp2_session_callbacks* callbacks;
    nghttp2_session_callbacks_new(&callbacks);
    nghttp2_session_callbacks_set_on_header_callback(
        callbacks,
        [](nghttp2_session*, const nghttp2_frame* frame, const uint8_t* name, size_t name_size,
           const uint8_t* value, size_t value_size, uint8_t, void* self) {
          Of(self).streams[frame->hd.stream_id].fields.emplace(
              std::string(reinterpret_cast<const char*>(name), name_size),
              std::string(reinterpret_cast<const char*>(value), value_size));
          return 0;
        });
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(
        callbacks,
        [](nghttp2_session*, uint8_t, int32_t id, const uint8_t* data, size_t size, void* self) {
          Of(self).streams[id].body.append(reinterpret_cast<const char*>(data), size);
          return 0;
        });
    nghttp2_session_callbacks_set_on_frame_recv_callback(
        callbacks, [](nghttp2_session*, const nghttp2_frame* frame, void* self) {
          FakePeer& peer = Of(self);
          if (frame->hd.type == NGHTTP2_PING) ++peer.pings;
          if (frame->hd.type == NGHTTP2_RST_STREAM) {
            peer.streams[frame->hd.stream_id].is_reset = true;
            peer.streams[frame->hd.stream_id].reset = frame->rst_stream.error_code;
          }
          if ((frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0 &&
              frame->hd.type != NGHTTP2_SETTINGS && frame->hd.type != NGHTTP2_PING)
            peer.streams[frame->hd.stream_id].has_ended = true;
          return 0;
        });
    nghttp2_option* option;
    nghttp2_option_new(&option);
    nghttp2_option_set_no_auto_window_update(option, 1);
    nghttp2_session_server_new2(&ng, callbacks, this, option);
    nghttp2_option_del(option);
    nghttp2_session_callbacks_del(callbacks);
    nghttp2_submit_settings(ng, NGHTTP2_FLAG_NONE, settings.data(), settings.size());
  }
  ~FakePeer() { nghttp2_session_del(ng); }
  FakePeer(const FakePeer&) = delete;
  FakePeer& operator=(const FakePeer&) = delete;

  // Carries bytes in both directions until nothing moves, `step` bytes at a time. Returns the
  // error of the client, if there is one.
  Status Exchange(ClientSession& client, size_t step = SIZE_MAX) {
    for (;;) {
      const std::string to_server = Output(client);
      TRY(client.CheckServer());
      nghttp2_session_mem_recv(ng, reinterpret_cast<const uint8_t*>(to_server.data()),
                               to_server.size());
      const std::string to_client = Output();
      if (to_server.empty() && to_client.empty()) return OkStatus();
      for (size_t at = 0; at < to_client.size(); at += std::min(step, to_client.size() - at)) {
        const std::string_view piece = std::string_view(to_client).substr(at, step);
        TRY(client.OnBytes(std::as_bytes(std::span(piece))));
      }
    }
  }
  static std::string Output(ClientSession& client) {
    ByteChain chain;
    client.Fill(chain, 1 << 20);
    std::string bytes;
    for (const Slice& slice : chain.slices()) bytes += slice.view();
    return bytes;
  }
  std::string Output() {
    std::string bytes;
    const uint8_t* data = nullptr;
    for (ssize_t size; (size = nghttp2_session_mem_send(ng, &data)) > 0;)
      bytes.append(reinterpret_cast<const char*>(data), static_cast<size_t>(size));
    return bytes;
  }

  static std::string Framed(std::string_view message) {
    const auto prefix = MakeGrpcPrefix(false, static_cast<uint32_t>(message.size()));
    return std::string(reinterpret_cast<const char*>(prefix.data()), prefix.size()) +
           std::string(message);
  }
  // Answers with a head, `body`, and trailers.
  void Answer(int32_t stream, std::string body, std::string_view status = "0",
              std::string_view message = "", std::string_view http_status = "200",
              std::string_view content_type = "application/grpc") {
    Pending& pending = answers_[stream];
    pending = {std::move(body), 0, std::string(status), std::string(message)};
    const nghttp2_nv head[] = {CopiedField(":status", http_status),
                               CopiedField("content-type", content_type)};
    const nghttp2_data_provider source{.source = {.ptr = &pending}, .read_callback = ReadAnswer};
    nghttp2_submit_response(ng, stream, head, 2, &source);
  }

  nghttp2_session* ng = nullptr;
  std::map<int32_t, FakeStream> streams;
  int pings = 0;

 private:
  struct Pending {
    std::string body;
    size_t sent = 0;
    std::string status, message;
  };

  static FakePeer& Of(void* self) { return *static_cast<FakePeer*>(self); }
  static ssize_t ReadAnswer(nghttp2_session* session, int32_t stream, uint8_t* to, size_t size,
                            uint32_t* flags, nghttp2_data_source* source, void*) {
    Pending& pending = *static_cast<Pending*>(source->ptr);
    size = pending.body.copy(reinterpret_cast<char*>(to), size, pending.sent);
    pending.sent += size;
    if (pending.sent < pending.body.size()) return static_cast<ssize_t>(size);
    *flags |= NGHTTP2_DATA_FLAG_EOF | NGHTTP2_DATA_FLAG_NO_END_STREAM;
    const nghttp2_nv trailers[] = {CopiedField("grpc-status", pending.status),
                                   CopiedField("grpc-message", pending.message)};
    // Without a status, the stream ends with bare trailers.
    if (pending.status.empty()) {
      const nghttp2_nv other = CopiedField("x-other", "1");
      nghttp2_submit_trailer(session, stream, &other, 1);
    } else {
      nghttp2_submit_trailer(session, stream, trailers, 2);
    }
    return static_cast<ssize_t>(size);
  }

  std::map<int32_t, Pending> answers_;
};

}  // namespace penstock::net
