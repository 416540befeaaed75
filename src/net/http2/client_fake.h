// SPDX-License-Identifier: Apache-2.0
// An HTTP/2 client in memory, for tests: nghttp2's client side against a FakeHttp2Server.
#pragma once

#include <nghttp2/nghttp2.h>

#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "net/grpc/wire.h"
#include "net/http2/nv.h"
#include "net/http2/session_fake.h"

namespace penstock::net {

// The answer on one stream.
struct FakeAnswer {
  std::vector<std::pair<std::string, std::string>> headers;  // trailers too
  std::string body;
  bool is_closed = false;
  uint32_t error_code = 0;

  // The value of a header or trailer; empty if there is none.
  std::string Field(std::string_view name) const {
    for (const auto& [key, value] : headers)
      if (key == name) return value;
    return {};
  }
  int http_status() const { return std::atoi(Field(":status").c_str()); }
  // -1: the answer has no status (yet).
  int grpc_status() const {
    const std::string status = Field("grpc-status");
    return status.empty() ? -1 : std::atoi(status.c_str());
  }
  // Returns the messages in the body, without their prefixes.
  std::vector<std::string> Messages() const {
    std::vector<std::string> messages;
    for (size_t at = 0; at + kGrpcPrefixBytes <= body.size();) {
      const auto byte = [&](size_t i) { return static_cast<unsigned char>(body[at + i]); };
      const size_t size = size_t{byte(1)} << 24 | byte(2) << 16 | byte(3) << 8 | byte(4);
      messages.push_back(body.substr(at + kGrpcPrefixBytes, size));
      at += kGrpcPrefixBytes + size;
    }
    return messages;
  }
};

using FakeFields = std::vector<std::pair<std::string, std::string>>;

// Another connection of the same loop. One thread.
class OtherConnection final : public RequestSender {
 public:
  void DropIncomplete(Shortage) override { ++drops; }
  void OnNoMemory() override {}

  int drops = 0;
};

// The client side of one connection. Each function that sends also runs both sides until nothing
// moves, so the answer is there when it returns, unless a handler keeps the call.
//
//   FakeHttp2Server server(router);
//   FakeHttp2Client client(server);
//   const int32_t id = client.Call("/pkg.Service/Method", "message");
//   EXPECT_EQ(client.answer(id).grpc_status(), 0);
//
// One thread.
class FakeHttp2Client final {
 public:
  explicit FakeHttp2Client(FakeHttp2Server& server) : server_(server) {
    nghttp2_session_callbacks* callbacks;
    nghttp2_session_callbacks_new(&callbacks);
    nghttp2_session_callbacks_set_on_header_callback(
        callbacks,
        [](nghttp2_session*, const nghttp2_frame* frame, const uint8_t* name, size_t name_size,
           const uint8_t* value, size_t value_size, uint8_t, void* self) {
          Self(self).answers_[frame->hd.stream_id].headers.emplace_back(
              std::string(reinterpret_cast<const char*>(name), name_size),
              std::string(reinterpret_cast<const char*>(value), value_size));
          return 0;
        });
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(
        callbacks,
        [](nghttp2_session*, uint8_t, int32_t id, const uint8_t* data, size_t size, void* self) {
          Self(self).answers_[id].body.append(reinterpret_cast<const char*>(data), size);
          return 0;
        });
    nghttp2_session_callbacks_set_on_stream_close_callback(
        callbacks, [](nghttp2_session*, int32_t id, uint32_t error_code, void* self) {
          FakeAnswer& answer = Self(self).answers_[id];
          answer.is_closed = true;
          answer.error_code = error_code;
          return 0;
        });
    nghttp2_session_callbacks_set_on_frame_recv_callback(
        callbacks, [](nghttp2_session*, const nghttp2_frame* frame, void* self) {
          Self(self).frames_.push_back(frame->hd);
          if (frame->hd.type == NGHTTP2_GOAWAY) {
            Self(self).goaway_codes.push_back(frame->goaway.error_code);
            Self(self).goaway_ids.push_back(frame->goaway.last_stream_id);
            Self(self).goaway_texts.emplace_back(
                reinterpret_cast<const char*>(frame->goaway.opaque_data),
                frame->goaway.opaque_data_len);
          }
          return 0;
        });
    nghttp2_session_client_new(&ng_, callbacks, this);
    nghttp2_session_callbacks_del(callbacks);
    nghttp2_submit_settings(ng_, NGHTTP2_FLAG_NONE, nullptr, 0);
  }
  ~FakeHttp2Client() { nghttp2_session_del(ng_); }
  FakeHttp2Client(const FakeHttp2Client&) = delete;
  FakeHttp2Client& operator=(const FakeHttp2Client&) = delete;

  // The head of a gRPC call, and a message with its prefix.
  static FakeFields GrpcFields(std::string path, FakeFields more = {}) {
    FakeFields fields = {{":method", "POST"},
                         {":scheme", "http"},
                         {":path", std::move(path)},
                         {":authority", "test"},
                         {"content-type", "application/grpc"},
                         {"te", "trailers"}};
    fields.insert(fields.end(), more.begin(), more.end());
    return fields;
  }
  static std::string Framed(std::string_view message, bool is_compressed = false) {
    const auto prefix = MakeGrpcPrefix(is_compressed, static_cast<uint32_t>(message.size()));
    return std::string(reinterpret_cast<const char*>(prefix.data()), prefix.size()) +
           std::string(message);
  }

  // Opens a stream with `fields`; Data follows unless `is_end`.
  int32_t Open(const FakeFields& fields, bool is_end = false) {
    const int32_t id = Submit(fields, is_end);
    Run();
    return id;
  }
  // Prepares a request, which the next Run sends.
  int32_t Submit(const FakeFields& fields, bool is_end = false) {
    std::vector<nghttp2_nv> nv;
    for (const auto& [name, value] : fields) nv.push_back(CopiedField(name, value));
    nghttp2_data_provider provider;
    provider.source.ptr = this;
    provider.read_callback = [](nghttp2_session*, int32_t id, uint8_t* buffer, size_t size,
                                uint32_t* flags, nghttp2_data_source* source, void*) -> ssize_t {
      return Self(source->ptr).ReadUpload(id, buffer, size, flags);
    };
    return nghttp2_submit_request(ng_, nullptr, nv.data(), nv.size(), is_end ? nullptr : &provider,
                                  nullptr);
  }
  // The server may send no more bodies of answers on streams that are opened later.
  void CloseWindow() {
    const nghttp2_settings_entry none = {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, 0};
    nghttp2_submit_settings(ng_, NGHTTP2_FLAG_NONE, &none, 1);
    Run();
  }
  // Sends bytes of the body of a stream that Open has begun.
  void Data(int32_t id, std::string_view bytes, bool is_end = false) {
    Upload& upload = uploads_[id];
    upload.bytes += bytes;
    upload.is_end = is_end;
    nghttp2_session_resume_data(ng_, id);
    Run();
  }
  // Sends a complete unary call. Returns its stream.
  int32_t Call(const std::string& path, std::string_view message, const FakeFields& more = {}) {
    const int32_t id = Open(GrpcFields(path, more));
    Data(id, Framed(message), true);
    return id;
  }
  // As Call, but the server reads the whole call at once.
  int32_t CallInOneRead(const std::string& path, std::string_view message) {
    const int32_t id = Submit(GrpcFields(path));
    uploads_[id] = {.bytes = Framed(message), .is_end = true};
    std::string input;
    const uint8_t* data;
    for (ssize_t size; (size = nghttp2_session_mem_send(ng_, &data)) > 0;)
      input.append(reinterpret_cast<const char*>(data), static_cast<size_t>(size));
    is_open = server_.Receive(input);
    Run();
    return id;
  }
  // Cancels the stream, as a client does that no longer wants the answer.
  void Reset(int32_t id, uint32_t code = NGHTTP2_CANCEL) {
    nghttp2_submit_rst_stream(ng_, NGHTTP2_FLAG_NONE, id, code);
    Run();
  }

  // Moves bytes in both directions until nothing moves.
  void Run() {
    for (bool moved = true; moved;) {
      moved = false;
      const uint8_t* data;
      while (const ssize_t size = nghttp2_session_mem_send(ng_, &data)) {
        if (size < 0) break;
        moved = true;
        if (is_open)
          is_open =
              server_.Receive({reinterpret_cast<const char*>(data), static_cast<size_t>(size)});
      }
      server_.RunPosted();
      const std::string answer = server_.Send();
      if (!answer.empty()) {
        moved = true;
        NoteBlocks(answer);
        nghttp2_session_mem_recv(ng_, reinterpret_cast<const uint8_t*>(answer.data()),
                                 answer.size());
      }
    }
  }
  // Sends bytes that nghttp2 would not send.
  void SendRaw(std::string_view bytes) {
    if (is_open) is_open = server_.Receive(bytes);
    Run();
  }

  // For frames that no function here sends. Run must follow.
  nghttp2_session* ng() { return ng_; }
  // What has come on the stream so far.
  const FakeAnswer& answer(int32_t id) { return answers_[id]; }
  // The frames of this type that the server has sent, over all streams.
  size_t CountFrames(uint8_t type) const {
    return static_cast<size_t>(std::count_if(frames_.begin(), frames_.end(),
                                             [&](const auto& hd) { return hd.type == type; }));
  }

  char last_block_begin = 0;  // the first byte of the last header block
  bool is_open = true;        // false once the session asked to be closed
  // Of each GOAWAY of the server, in order: the error code, the last stream that it serves, and the
  // text.
  std::vector<uint32_t> goaway_codes;
  std::vector<int32_t> goaway_ids;
  std::vector<std::string> goaway_texts;

 private:
  struct Upload {
    std::string bytes;
    size_t used = 0;
    bool is_end = false;
  };
  static FakeHttp2Client& Self(void* self) { return *static_cast<FakeHttp2Client*>(self); }

  // Walks over the frames of the server. A frame may come in pieces.
  void NoteBlocks(std::string_view bytes) {
    constexpr size_t kHeaderBytes = 9;
    input_ += bytes;
    while (input_.size() >= kHeaderBytes) {
      const auto byte = [&](size_t i) { return size_t{static_cast<unsigned char>(input_[i])}; };
      const size_t size = kHeaderBytes + (byte(0) << 16 | byte(1) << 8 | byte(2));
      if (input_.size() < size) return;
      if (byte(3) == NGHTTP2_HEADERS) last_block_begin = input_[kHeaderBytes];
      input_.erase(0, size);
    }
  }

  ssize_t ReadUpload(int32_t id, uint8_t* buffer, size_t size, uint32_t* flags) {
    Upload& upload = uploads_[id];
    const size_t left = upload.bytes.size() - upload.used;
    if (left == 0 && !upload.is_end) return NGHTTP2_ERR_DEFERRED;
    const size_t part = std::min(size, left);
    std::copy_n(upload.bytes.data() + upload.used, part, buffer);
    upload.used += part;
    if (part == left && upload.is_end) *flags |= NGHTTP2_DATA_FLAG_EOF;
    return static_cast<ssize_t>(part);
  }

  FakeHttp2Server& server_;
  nghttp2_session* ng_ = nullptr;
  std::string input_;  // the start of a frame that is not complete
  std::map<int32_t, FakeAnswer> answers_;
  std::map<int32_t, Upload> uploads_;
  std::vector<nghttp2_frame_hd> frames_;
};

// Returns the header of a frame, for SendRaw.
inline std::string FrameHeader(size_t length, uint8_t type, uint8_t flags, uint32_t id) {
  const auto byte = [](size_t value, int shift) { return static_cast<char>(value >> shift); };
  return {byte(length, 16),
          byte(length, 8),
          byte(length, 0),
          static_cast<char>(type),
          static_cast<char>(flags),
          byte(id, 24),
          byte(id, 16),
          byte(id, 8),
          byte(id, 0)};
}

}  // namespace penstock::net
