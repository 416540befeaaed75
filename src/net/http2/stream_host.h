// SPDX-License-Identifier: Apache-2.0
// The state that the streams of one HTTP/2 connection share.
#pragma once

#include <nghttp2/nghttp2.h>

#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "net/grpc/call.h"
#include "net/http/session.h"
#include "net/http2/frames.h"
#include "net/loop/incomplete_requests.h"
#include "net/loop/loop.h"
#include "net/loop/server_state.h"
#include "net/router.h"

namespace penstock::net {

// A head over header_bytes_max is refused. A head over this many times that size ends the
// connection.
inline constexpr size_t kHeaderBombFactor = 4;

// A request whose body is still to come: the stream, as StreamHost sees it. Owned by loop.
class BegunRequest {
 public:
  virtual ~BegunRequest() = default;
  // Answers with an error, because too many requests are incomplete.
  virtual void RefuseIncomplete() = 0;
};

// The session as its streams see it: nghttp2's session, the limits that count streams, and the
// bytes that wait to be sent. Http2Session derives from it. It is no interface, because streams
// call it several times for each request. Owned by loop.
class StreamHost : public RequestSender {
 public:
  // `host` must outlive it.
  explicit StreamHost(SessionHost& host);
  StreamHost(const StreamHost&) = delete;
  StreamHost& operator=(const StreamHost&) = delete;

  nghttp2_session* ng() { return ng_; }
  Loop& loop() { return loop_; }
  ServerState& server() { return server_; }
  size_t header_bytes_max() const { return header_bytes_max_; }
  SessionHost& host() { return host_; }
  // As SessionHost::callers.
  access::CallerMemo* callers() { return callers_; }
  // The time of the last read or tick. Saves calls of the clock.
  SteadyTime now() const { return now_; }
  // As Router::FindGrpc. It remembers the last route, since most clients call one method again and
  // again.
  const GrpcRoute* FindGrpc(std::string_view method) {
    if (last_route_ == nullptr || last_route_->method != method)
      last_route_ = server().router.FindGrpc(method);
    return last_route_;
  }
  // Call this after giving nghttp2 something to send. Schedules a flush.
  void OnOutput();
  // Counts bytes of answers that could be sent if the peer read them. Reading pauses while they
  // exceed write_queue_bytes_max. AddPending returns the number of the next flush, for
  // RemovePending. A flush that sends everything it may sets the count to zero: only the peer's
  // window holds back the remaining bytes, and the session must read on to get its WINDOW_UPDATE.
  // So RemovePending ignores bytes that such a flush has already removed.
  uint32_t AddPending(size_t bytes) {
    pending_bytes_ += bytes;
    return flush_number_;
  }
  void RemovePending(size_t bytes, uint32_t flush_number) {
    if (flush_number == flush_number_) pending_bytes_ -= bytes;
  }
  // The client has changed the size of HPACK's table, and nghttp2 has written no header block
  // since. The next block must begin by announcing the size (RFC 7541, section 4.2).
  bool has_new_table_size() const { return has_new_table_size_; }
  void OnFrameSent() { frames_.OnFrameSent(); }
  void OnAnswered() { frames_.OnAnswered(); }
  // Bytes of the connection's receive window that can be given back to the peer.
  void ConsumeConnection(size_t bytes) { consumed_ += bytes; }
  // Requests a call of OnRoom of this stream at the end of the flush.
  void NotifyRoom(int32_t stream) { with_room_.push_back(stream); }
  // The answer of a stream ended before its request. The stream is reset once the end of the answer
  // was sent.
  void OnEarlyEnd() { ++early_ends_; }
  void OnEarlyEndDone() { --early_ends_; }
  // A stream is reset because of a mistake of the client. Each such reset takes one of
  // kResetsAllowed, and too many end the connection.
  void OnMistake();
  // The body of a request is still to come. The request counts as incomplete unless it ends before
  // the next one begins, in the same input. If too many requests are incomplete, it is refused.
  void BeginReceiving(BegunRequest& request) {
    CountBegun();
    begun_ = &request;
  }
  // The body of a request that BeginReceiving has reported is complete, or will not come.
  void EndReceiving(const BegunRequest& request, bool is_complete);
  // Bytes of such a request have come.
  void NoteReceived(size_t bytes) { received_ += bytes; }
  // A stream that does not count as a request stays open. False: the connection has too many of
  // them.
  [[nodiscard]] bool BeginUncounted();
  void EndUncounted() { --uncounted_; }
  // Ends the connection because the client misbehaves. The GOAWAY contains the HTTP/2 error code
  // and `reason`, which must have static storage. When it has been sent, the connection closes, and
  // with it the streams that are still open. Only the first call counts.
  void Terminate(uint32_t error_code, const char* reason);

 protected:
  // Makes the request that began last count as incomplete.
  void CountBegun();
  // An incomplete request was refused. Too many of them end the connection.
  void CountRefused();
  void OnNoMemory() override;

  SessionHost& host_;
  access::CallerMemo* const callers_;
  Loop& loop_;
  ServerState& server_;
  const size_t header_bytes_max_;  // copied here, since each field needs it
  nghttp2_session* ng_ = nullptr;
  Http2FrameCheck frames_;
  int depth_ = 0;  // nested calls into nghttp2
  bool is_terminated_ = false;
  bool has_new_table_size_ = false;
  const char* end_reason_ = nullptr;  // the text in GOAWAY frames
  std::vector<int32_t> with_room_;
  size_t pending_bytes_ = 0;
  uint32_t flush_number_ = 0;  // counts the flushes that sent everything they could
  size_t consumed_ = 0;
  size_t early_ends_ = 0;
  uint64_t received_ = 0;  // of incomplete requests, since the last tick
  SteadyTime now_;

 private:
  const GrpcRoute* last_route_ = nullptr;
  int uncounted_ = 0;              // streams
  BegunRequest* begun_ = nullptr;  // began last in this input, and does not count yet
};

}  // namespace penstock::net
