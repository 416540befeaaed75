// SPDX-License-Identifier: Apache-2.0
// HTTP/2 on one connection: nghttp2's session, the streams, the limits that protect the server.
#pragma once

#include <nghttp2/nghttp2.h>

#include <cstdint>
#include <span>
#include <vector>

#include "net/http2_fields.h"
#include "net/http2_frames.h"
#include "net/http2_output.h"
#include "net/http2_stream.h"
#include "net/loop.h"
#include "net/router.h"
#include "net/session.h"

namespace penstock::net {

// A head this many times over header_bytes_max ends the connection instead of being answered.
inline constexpr size_t kHeaderBombFactor = 4;
// How long a keep-alive ping may go unanswered.
inline constexpr Duration kPingAnswerTimeout = std::chrono::seconds(20);

// Frames that wait to be sent, beyond a few for each stream: a client that is not going to read
// them gets no more.
inline constexpr size_t kFramesQueuedMax = 20'000;
inline constexpr size_t kFramesQueuedPerStream = 4;

// Streams in the order in which they were opened. Owned by loop.
class StreamList final {
 public:
  void Add(Http2Stream& stream);
  void Remove(Http2Stream& stream);
  Http2Stream* first() const { return first_; }
  static Http2Stream* Next(const Http2Stream& stream) { return stream.next_; }
  bool empty() const { return first_ == nullptr; }

 private:
  Http2Stream* first_ = nullptr;
  Http2Stream* last_ = nullptr;
};

// Owned by loop.
class Http2Session final : public Session {
 public:
  explicit Http2Session(SessionHost& host);
  ~Http2Session() override;
  Http2Session(const Http2Session&) = delete;
  Http2Session& operator=(const Http2Session&) = delete;

  bool OnBytes(std::span<const std::byte> bytes) override;
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
  // When the bytes at hand were read, or the last tick was.
  SteadyTime now() const { return now_; }
  // As Router::FindGrpc; most clients call one method again and again.
  const GrpcRoute* FindGrpc(std::string_view method) {
    if (last_route_ == nullptr || last_route_->method != method)
      last_route_ = server().router.FindGrpc(method);
    return last_route_;
  }
  // Something was given to nghttp2 to send.
  void OnOutput();
  // Answers that could be sent if the peer read, in bytes: reading pauses when they are too many.
  // Those that a flush has come to, and only the peer's window holds back, do not count any more.
  // Returns the flush that will come to them, for RemovePending.
  uint32_t AddPending(size_t bytes) {
    pending_bytes_ += bytes;
    return flush_number_;
  }
  void RemovePending(size_t bytes, uint32_t flush_number) {
    if (flush_number == flush_number_) pending_bytes_ -= bytes;
  }
  void OnFrameSent(bool is_data) { frames_.OnFrameSent(is_data); }
  void OnAnswered() { frames_.OnAnswered(); }
  // Bytes of the connection's window that are used up.
  void ConsumeConnection(size_t bytes) { consumed_ += bytes; }
  // Has the call told at the end of the flush that there is room.
  void NotifyRoom(CallRef<GrpcCallImpl> call) { with_room_.push_back(std::move(call)); }
  // A stream ended before its request did, and is to be reset once its end was sent.
  void OnEarlyEnd() { ++early_ends_; }
  void OnEarlyEndDone() { --early_ends_; }
  // A stream is reset for a mistake of the client.
  void OnMistake();
  // The body of a request is still to come. False: too many are in that state.
  [[nodiscard]] bool BeginReceiving();
  void EndReceiving();
  // A stream that counts as no request stays open. False: the connection has too many of them.
  [[nodiscard]] bool BeginUncounted();
  void EndUncounted() { --uncounted_; }
  // Ends the connection because of what the client does, and tells it the reason, which is static.
  void Terminate(uint32_t error_code, const char* reason);

 private:
  friend struct Http2Callbacks;

  Http2Stream* FindStream(int32_t id);
  Http2Stream& OpenStream(int32_t id);
  void CloseStream(int32_t id);
  int OnFrame(const nghttp2_frame& frame);
  int OnFrameWritten(const nghttp2_frame& frame);

  void Configure();
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

  SessionHost& host_;
  Loop& loop_;
  ServerState& server_;
  const size_t header_bytes_max_;  // at hand for each field
  nghttp2_session* ng_ = nullptr;
  Http2FrameCheck frames_;
  FieldMemo fields_;
  Http2Output output_;
  StreamList streams_;
  Http2Stream* recent_ = nullptr;  // the one that was looked up last
  const GrpcRoute* last_route_ = nullptr;
  std::vector<CallRef<GrpcCallImpl>> with_room_;
  size_t pending_bytes_ = 0;
  uint32_t flush_number_ = 0;  // of those that sent all that could be sent
  size_t consumed_ = 0;
  size_t early_ends_ = 0;
  int receiving_ = 0;  // streams
  int uncounted_ = 0;  // streams
  int depth_ = 0;      // of calls into nghttp2
  bool is_reading_paused_ = false;
  bool has_ended_input_ = false;
  bool is_terminated_ = false;
  const char* end_reason_ = nullptr;  // for the client
  bool has_settings_ = false;         // the client's first SETTINGS frame has come
  enum class Drain : uint8_t { kNo, kAnnounced, kFinal } drain_ = Drain::kNo;

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
