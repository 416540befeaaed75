// SPDX-License-Identifier: Apache-2.0
// nghttp2's callbacks, which pass each event on to the session and its streams.
#pragma once

#include <nghttp2/nghttp2.h>

#include <cstddef>
#include <cstdint>

namespace penstock::net {

// All static; user_data is the Http2Session. Owned by loop.
struct Http2Callbacks {
  // The table of callbacks, shared by all sessions.
  static const nghttp2_session_callbacks* Get();

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

}  // namespace penstock::net
