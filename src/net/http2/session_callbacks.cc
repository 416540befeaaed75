// SPDX-License-Identifier: Apache-2.0
// The callbacks of nghttp2, which pass each event on to the session and its streams. user_data is
// the session.
#include "base/check.h"
#include "net/http2/session.h"
#include "net/loop/server_state.h"

namespace penstock::net {
namespace {

constexpr size_t kFrameHeaderBytes = 9;

Http2Session& SessionOf(void* user_data) { return *static_cast<Http2Session*>(user_data); }

}  // namespace

// All static.
struct Http2Session::Callbacks {
  static int OnBeginHeaders(nghttp2_session* ng, const nghttp2_frame* frame, void* user_data);
  static int OnHeader(nghttp2_session* ng, const nghttp2_frame* frame, nghttp2_rcbuf* name,
                      nghttp2_rcbuf* value, uint8_t flags, void* user_data);
  static int OnData(nghttp2_session* ng, uint8_t flags, int32_t id, const uint8_t* data,
                    size_t size, void* user_data);
  static int OnFrame(nghttp2_session* ng, const nghttp2_frame* frame, void* user_data);
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
  session.output_.Copy({reinterpret_cast<const std::byte*>(header), kFrameHeaderBytes});
  static_cast<Http2Stream*>(source->ptr)->WriteBody(session.output_, size);
  session.OnFrameSent(/*is_data=*/true);
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
    nghttp2_session_callbacks_set_on_frame_send_callback(made, Callbacks::OnFrameSent);
    nghttp2_session_callbacks_set_on_stream_close_callback(made, Callbacks::OnStreamClose);
    nghttp2_session_callbacks_set_send_callback(made, Callbacks::Send);
    nghttp2_session_callbacks_set_send_data_callback(made, Callbacks::SendData);
    return made;
  }();
  return table;
}

}  // namespace penstock::net
