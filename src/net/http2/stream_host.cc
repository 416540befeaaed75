// SPDX-License-Identifier: Apache-2.0
#include "net/http2/stream_host.h"

#include "base/log.h"

namespace penstock::net {

StreamHost::StreamHost(SessionHost& host)
    : host_(host),
      callers_(host.callers()),
      loop_(host.loop()),
      server_(host.server()),
      header_bytes_max_(server_.options.header_bytes_max),
      frames_(kHeaderBombFactor * header_bytes_max_) {}

void StreamHost::OnMistake() {
  if (is_terminated_ || frames_.OnStreamRefused()) return;
  server().metrics.limit_floods.Add();
  Terminate(NGHTTP2_ENHANCE_YOUR_CALM, "too many streams had to be reset");
}

void StreamHost::CountBegun() {
  if (begun_ == nullptr) return;
  BegunRequest& request = *std::exchange(begun_, nullptr);
  if (loop_.incomplete_requests().Begin(*this)) return;
  server().metrics.limit_requests.Add();
  request.RefuseIncomplete();
  CountRefused();
}

// A request is refused because the server has no memory for its body.
void StreamHost::OnNoMemory() { CountRefused(); }

void StreamHost::CountRefused() {
  if (frames_.OnBeginRefused() || is_terminated_) return;
  server().metrics.limit_floods.Add();
  Terminate(NGHTTP2_ENHANCE_YOUR_CALM, "too many requests were begun and not completed");
}

void StreamHost::EndReceiving(const BegunRequest& request, bool is_complete) {
  IncompleteRequests& requests = loop_.incomplete_requests();
  // `begun_` has not been counted yet, so there is nothing to take back.
  if (begun_ != &request) {
    requests.End(*this, is_complete);
  } else {
    begun_ = nullptr;
    if (is_complete) requests.NoteComplete(*this);
  }
  if (is_complete) frames_.OnRequestComplete();
}

bool StreamHost::BeginUncounted() {
  if (uncounted_ >= server().options.watches_per_connection_max) {
    server().metrics.limit_requests.Add();
    return false;
  }
  ++uncounted_;
  return true;
}

void StreamHost::Terminate(uint32_t error_code, const char* reason) {
  if (is_terminated_) return;
  is_terminated_ = true;
  end_reason_ = reason;
  PENSTOCK_LOG(kDebug, "HTTP/2 from {}: {}", host_.peer(), reason);
  nghttp2_session_terminate_session(ng_, error_code);
  OnOutput();
}

void StreamHost::OnOutput() {
  if (depth_ == 0) host_.ScheduleFlush();
}

}  // namespace penstock::net
