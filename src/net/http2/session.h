// SPDX-License-Identifier: Apache-2.0
// HTTP/2 on one connection: nghttp2's session, the streams, and the limits that protect the server.
#pragma once

#include <nghttp2/nghttp2.h>

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "net/http/session.h"
#include "net/http2/fields.h"
#include "net/http2/frames.h"
#include "net/http2/output.h"
#include "net/http2/stream.h"
#include "net/loop/incomplete_requests.h"
#include "net/loop/loop.h"
#include "net/router.h"

namespace penstock::net {

// A head over header_bytes_max is refused. A head over this many times that size ends the
// connection.
inline constexpr size_t kHeaderBombFactor = 4;
// The connection closes if a keep-alive ping is not answered within this time.
inline constexpr Duration kPingAnswerTimeout = std::chrono::seconds(20);

// The limit for frames that wait to be sent: a fixed number, plus a few for each stream. It stops
// clients that make the server queue frames and never read them.
inline constexpr size_t kFramesQueuedMax = 20'000;
inline constexpr size_t kFramesQueuedPerStream = 4;

using StreamList = LinkedList<Http2Stream>;

// One HTTP/2 connection. It feeds input to nghttp2, passes nghttp2's events to the streams, and
// enforces the limits. See http2_session.cc. Owned by loop.
class Http2Session final : public Session, private RequestSender {
 public:
  explicit Http2Session(SessionHost& host);
  ~Http2Session() override;
  Http2Session(const Http2Session&) = delete;
  Http2Session& operator=(const Http2Session&) = delete;

  bool OnBytes(std::span<const std::byte> bytes) override;
  bool Continue() override;
  bool OnEndOfInput() override;
  void Fill(ByteChain& out, size_t bytes_wanted) override;
  bool HasOutput() const override;
  bool IsIdle() const override;
  void StartDrain() override;
  bool IsUnusedSinceDrain() const override {
    return drain_ != Drain::kNo && is_unused_since_drain_;
  }
  bool OnTick(SteadyTime now) override;

  // --- for the streams
  nghttp2_session* ng() { return ng_; }
  Loop& loop() { return loop_; }
  ServerState& server() { return server_; }
  size_t header_bytes_max() const { return header_bytes_max_; }
  SessionHost& host() { return host_; }
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
  void OnFrameSent(bool is_data) { frames_.OnFrameSent(is_data); }
  void OnAnswered() { frames_.OnAnswered(); }
  // Bytes of the connection's receive window that can be given back to the peer.
  void ConsumeConnection(size_t bytes) { consumed_ += bytes; }
  // Requests a call of GrpcCallImpl::OnRoom at the end of the flush.
  void NotifyRoom(CallRef<GrpcCallImpl> call) { with_room_.push_back(std::move(call)); }
  // The answer of a stream ended before its request. The stream is reset once the end of the answer
  // was sent.
  void OnEarlyEnd() { ++early_ends_; }
  void OnEarlyEndDone() { --early_ends_; }
  // A stream is reset because of a mistake of the client. Too many of them end the connection.
  void OnMistake();
  // The body of a request is still to come. The request counts as incomplete unless it ends before
  // the next one begins, in the same input. If too many requests are incomplete, it is refused.
  void BeginReceiving(Http2Stream& stream) {
    CountBegun();
    begun_ = &stream;
  }
  void EndReceiving(const Http2Stream& stream, bool is_complete);
  // Bytes of such a request have come.
  void NoteReceived(size_t bytes) { received_ += bytes; }
  // A stream that does not count as a request stays open. False: the connection has too many of
  // them.
  [[nodiscard]] bool BeginUncounted();
  void EndUncounted() { --uncounted_; }
  // Ends the connection because the client misbehaves. The GOAWAY contains `reason`, which must
  // have static storage.
  void Terminate(uint32_t error_code, const char* reason);

 private:
  friend struct Http2Callbacks;

  Http2Stream* FindStream(int32_t id);
  Http2Stream& OpenStream(int32_t id);
  void CloseStream(int32_t id);
  int OnFrame(const nghttp2_frame& frame);
  int OnFrameWritten(const nghttp2_frame& frame);

  void Configure();
  bool Feed(std::span<const std::byte> bytes);
  bool KeepRest(std::span<const std::byte> rest);
  void DropIncomplete(Shortage shortage) override;
  void OnNoMemory() override;
  void CountBegun();
  void CountRefused();
  bool OnReceiveError(int error);
  void CheckQueue();
  void ReturnConsumed();
  void UpdateReading();
  void CloseIfDone();
  void Copy(std::span<const std::byte> frame);
  void Announce(const char* reason);
  void FinishDrain();
  bool IsOverTime(SteadyTime now);
  bool KeepAlive(SteadyTime now);
  void NoteProgress(Duration time);

  SessionHost& host_;
  Loop& loop_;
  ServerState& server_;
  const size_t header_bytes_max_;  // copied here, since each field needs it
  nghttp2_session* ng_ = nullptr;
  Http2FrameCheck frames_;
  FieldMemo fields_;
  Http2Output output_;
  StreamList streams_;  // in the order in which they were opened
  // Input that was left for the next turn, and the violation that ends it, if there is one.
  std::string rest_;
  size_t rest_counted_ = 0;  // bytes of rest_ that the budget for bodies counts
  std::optional<Http2FrameCheck::Violation> violation_;
  Http2Stream* recent_ = nullptr;  // the result of the last FindStream
  const GrpcRoute* last_route_ = nullptr;
  std::vector<CallRef<GrpcCallImpl>> with_room_;
  size_t pending_bytes_ = 0;
  uint32_t flush_number_ = 0;  // counts the flushes that sent everything they could
  size_t consumed_ = 0;
  size_t early_ends_ = 0;
  int uncounted_ = 0;         // streams
  int depth_ = 0;             // nested calls into nghttp2
  bool wants_pause_ = false;  // the turn is over, so nghttp2 shall return early
  bool has_paused_ = false;   // it has, and rest_ waits for Continue
  bool is_reading_paused_ = false;
  bool has_ended_input_ = false;
  bool is_terminated_ = false;
  const char* end_reason_ = nullptr;  // the text in GOAWAY frames
  bool has_settings_ = false;         // the client's first SETTINGS frame has arrived
  enum class Drain : uint8_t { kNo, kAnnounced, kFinal } drain_ = Drain::kNo;

  uint64_t received_ = 0;         // of incomplete requests, since the last tick
  Http2Stream* begun_ = nullptr;  // began last in this input, and does not count yet
  SteadyTime last_tick_;
  SteadyTime now_;
  SteadyTime drain_since_;
  bool is_unused_since_drain_ = false;
  SteadyTime last_received_;
  SteadyTime last_ping_;
  SteadyTime idle_since_;
  SteadyTime head_since_;
  bool has_received_ = false;  // since the last tick
  bool is_ping_open_ = false;
};

}  // namespace penstock::net
