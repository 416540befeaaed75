// SPDX-License-Identifier: Apache-2.0
// The callbacks of nghttp2, which pass each event on to the session and its streams. user_data is
// the session.
#include <algorithm>
#include <array>
#include <span>
#include <string_view>

#include "base/check.h"
#include "net/http2/session.h"
#include "net/loop/server_state.h"

namespace penstock::net {
namespace {

constexpr size_t kFrameHeaderBytes = 9;

Http2Session& SessionOf(void* user_data) { return *static_cast<Http2Session*>(user_data); }

// Writes the last DATA frame of a gRPC answer that succeeds, and its trailers. For nghttp2 the
// stream ends with the DATA frame. The end moves from that frame to a HEADERS frame behind it,
// which nghttp2 does not see: a frame through nghttp2 costs about 1000 instructions, and every
// answer has this one. nghttp2's HPACK table stays right, because the block does not use it. If the
// client has changed the size of the table, the trailers do go through nghttp2
// (Http2Stream::SubmitTrailers).
void WriteLastFrames(Http2Stream& stream, std::span<const std::byte> data_header, size_t data_bytes,
                     Http2Output& output) {
  constexpr size_t kFlags = 4;
  constexpr std::byte kEndStream{NGHTTP2_FLAG_END_STREAM};
  std::array<std::byte, kFrameHeaderBytes> header;
  std::copy(data_header.begin(), data_header.end(), header.begin());
  header[kFlags] &= ~kEndStream;
  output.Copy(header);
  const std::string_view block = stream.ok_block();
  header[0] = std::byte{0};
  header[1] = static_cast<std::byte>(block.size() >> 8);
  header[2] = static_cast<std::byte>(block.size());
  header[3] = std::byte{NGHTTP2_HEADERS};
  header[kFlags] = kEndStream | std::byte{NGHTTP2_FLAG_END_HEADERS};
  stream.WriteBody(output, data_bytes);
  output.Copy(header);
  output.Copy(std::as_bytes(std::span(block)));
}

}  // namespace

// All static.
struct Http2Session::Callbacks {
  static int OnBeginHeaders(nghttp2_session* ng, const nghttp2_frame* frame, void* user_data);
  static int OnHeader(nghttp2_session* ng, const nghttp2_frame* frame, nghttp2_rcbuf* name,
                      nghttp2_rcbuf* value, uint8_t flags, void* user_data);
  static int OnData(nghttp2_session* ng, uint8_t flags, int32_t id, const uint8_t* data,
                    size_t size, void* user_data);
  static int OnFrame(nghttp2_session* ng, const nghttp2_frame* frame, void* user_data);
  static int OnFrameEncoded(nghttp2_session* ng, const nghttp2_frame* frame, void* user_data);
  static int OnFrameSent(nghttp2_session* ng, const nghttp2_frame* frame, void* user_data);
  static int OnInvalidFrame(nghttp2_session*, const nghttp2_frame* frame, int error,
                            void* user_data);
  static int OnStreamClose(nghttp2_session* ng, int32_t id, uint32_t error_code, void* user_data);
  static ssize_t Send(nghttp2_session* ng, const uint8_t* data, size_t size, int flags,
                      void* user_data);
  static int SendData(nghttp2_session* ng, nghttp2_frame* frame, const uint8_t* header, size_t size,
                      nghttp2_data_source* source, void* user_data);
};

int Http2Session::Callbacks::OnBeginHeaders(nghttp2_session*, const nghttp2_frame* frame,
                                            void* user_data) {
  Http2Session& session = SessionOf(user_data);
  session.fields_.Restart();
  if (frame->headers.cat == NGHTTP2_HCAT_REQUEST) session.OpenStream(frame->hd.stream_id);
  return 0;
}

int Http2Session::Callbacks::OnHeader(nghttp2_session*, const nghttp2_frame* frame,
                                      nghttp2_rcbuf* name, nghttp2_rcbuf* value, uint8_t,
                                      void* user_data) {
  Http2Session& session = SessionOf(user_data);
  Http2Stream* stream = session.FindStream(frame->hd.stream_id);
  // The stream was dropped already (DropIncomplete). nghttp2 decodes its fields nevertheless, to
  // keep HPACK's table right.
  if (stream == nullptr) return 0;
  if (!stream->OnHeader(session.fields_.Next(name, value))) {
    session.server().metrics.limit_header_bytes.Add();
    session.Terminate(NGHTTP2_ENHANCE_YOUR_CALM, "the head of a request is far too large");
    return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
  }
  if (!session.wants_pause_) return 0;
  // The turn is over. Pause at the first field of the new request: nghttp2 can stop here, but not
  // in OnBeginHeaders.
  session.wants_pause_ = false;
  session.has_paused_ = true;
  return NGHTTP2_ERR_PAUSE;
}

int Http2Session::Callbacks::OnData(nghttp2_session*, uint8_t, int32_t id, const uint8_t* data,
                                    size_t size, void* user_data) {
  Http2Session& session = SessionOf(user_data);
  if (Http2Stream* stream = session.FindStream(id)) {
    stream->OnData({reinterpret_cast<const std::byte*>(data), size});
  } else {
    // The stream is closed, but its bytes still occupy the window of the connection.
    session.ConsumeConnection(size);
  }
  return 0;
}

int Http2Session::Callbacks::OnFrame(nghttp2_session*, const nghttp2_frame* frame,
                                     void* user_data) {
  return SessionOf(user_data).OnFrame(*frame);
}

// Called before the reset is queued. A stream over the limit of streams is not a mistake, since the
// client may not have seen the limit yet. nghttp2 refuses such streams by itself.
int Http2Session::Callbacks::OnInvalidFrame(nghttp2_session*, const nghttp2_frame*, int error,
                                            void* user_data) {
  if (error != NGHTTP2_ERR_REFUSED_STREAM) SessionOf(user_data).OnMistake();
  return 0;
}

// nghttp2 has just encoded the frame, but no byte of it is written yet. OnFrameSent would be too
// late: SETTINGS may arrive while the output is full.
int Http2Session::Callbacks::OnFrameEncoded(nghttp2_session*, const nghttp2_frame* frame,
                                            void* user_data) {
  if (frame->hd.type == NGHTTP2_HEADERS) SessionOf(user_data).has_new_table_size_ = false;
  return 0;
}

int Http2Session::Callbacks::OnFrameSent(nghttp2_session*, const nghttp2_frame* frame,
                                         void* user_data) {
  return SessionOf(user_data).OnFrameWritten(*frame);
}

int Http2Session::Callbacks::OnStreamClose(nghttp2_session*, int32_t id, uint32_t,
                                           void* user_data) {
  SessionOf(user_data).CloseStream(id);
  return 0;
}

ssize_t Http2Session::Callbacks::Send(nghttp2_session*, const uint8_t* data, size_t size, int,
                                      void* user_data) {
  Http2Session& session = SessionOf(user_data);
  if (session.output_.is_full()) return NGHTTP2_ERR_WOULDBLOCK;
  session.Copy({reinterpret_cast<const std::byte*>(data), size});
  return static_cast<ssize_t>(size);
}

int Http2Session::Callbacks::SendData(nghttp2_session*, nghttp2_frame* frame, const uint8_t* header,
                                      size_t size, nghttp2_data_source* source, void* user_data) {
  Http2Session& session = SessionOf(user_data);
  if (session.output_.is_full()) return NGHTTP2_ERR_WOULDBLOCK;
  PENSTOCK_CHECK(frame->data.padlen == 0, "no padding is asked for");
  const std::span frame_header(reinterpret_cast<const std::byte*>(header), kFrameHeaderBytes);
  Http2Stream& stream = *static_cast<Http2Stream*>(source->ptr);
  const bool is_last = (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0;
  if (is_last && !stream.ok_block().empty()) {
    WriteLastFrames(stream, frame_header, size, session.output_);
  } else {
    session.output_.Copy(frame_header);
    stream.WriteBody(session.output_, size);
  }
  session.OnFrameSent();
  return 0;
}

const nghttp2_session_callbacks* Http2Session::CallbackTable() {
  static const nghttp2_session_callbacks* const table = [] {
    nghttp2_session_callbacks* made = nullptr;
    PENSTOCK_CHECK(nghttp2_session_callbacks_new(&made) == 0, "out of memory");
    nghttp2_session_callbacks_set_on_begin_headers_callback(made, Callbacks::OnBeginHeaders);
    nghttp2_session_callbacks_set_on_header_callback2(made, Callbacks::OnHeader);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(made, Callbacks::OnData);
    nghttp2_session_callbacks_set_on_frame_recv_callback(made, Callbacks::OnFrame);
    nghttp2_session_callbacks_set_on_invalid_frame_recv_callback(made, Callbacks::OnInvalidFrame);
    nghttp2_session_callbacks_set_before_frame_send_callback(made, Callbacks::OnFrameEncoded);
    nghttp2_session_callbacks_set_on_frame_send_callback(made, Callbacks::OnFrameSent);
    nghttp2_session_callbacks_set_on_stream_close_callback(made, Callbacks::OnStreamClose);
    nghttp2_session_callbacks_set_send_callback(made, Callbacks::Send);
    nghttp2_session_callbacks_set_send_data_callback(made, Callbacks::SendData);
    return made;
  }();
  return table;
}

}  // namespace penstock::net
