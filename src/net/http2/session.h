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
#include "net/http2/stream_host.h"
#include "net/loop/timer_wheel.h"

namespace penstock::net {

// The connection closes if a keep-alive ping is not answered within this time.
inline constexpr Duration kPingAnswerTimeout = std::chrono::seconds(20);

// The limit for frames that wait to be sent: a fixed number, plus a few for each stream. It stops
// clients that make the server queue frames and never read them.
inline constexpr size_t kFramesQueuedMax = 20'000;
inline constexpr size_t kFramesQueuedPerStream = 4;

using StreamList = LinkedList<Http2Stream>;

// One HTTP/2 connection. It feeds input to nghttp2, passes nghttp2's events to the streams, and
// enforces the limits. See session.cc. Owned by loop.
class Http2Session final : public Session, private StreamHost, private WheelTimer {
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

 private:
  // The callbacks of nghttp2, in session_callbacks.cc.
  struct Callbacks;
  static const nghttp2_session_callbacks* CallbackTable();

  // Returns null if the stream is closed, or was never opened.
  Http2Stream* FindStream(int32_t id);
  // Takes a stream from the pool for a new request. May ask for a pause, if the turn is over.
  Http2Stream& OpenStream(int32_t id);
  // Closes the stream and returns it to the pool. Does nothing if there is no such stream.
  void CloseStream(int32_t id);
  // A frame was received or written. They return 0, as nghttp2 wants.
  int OnFrame(const nghttp2_frame& frame);
  void OnSettings(const nghttp2_settings& settings);
  int OnFrameWritten(const nghttp2_frame& frame);

  // Queues the SETTINGS of the server and the window of the connection.
  void Configure();
  bool Feed(std::span<const std::byte> bytes);
  bool KeepRest(std::span<const std::byte> rest);
  void DropIncomplete(Shortage shortage) override;
  // nghttp2 cannot go on with the input. Returns false, as OnBytes then does.
  bool OnReceiveError(int error);
  void CheckQueue();
  // Gives the consumed bytes back to the window of the connection, once for each read.
  void ReturnConsumed();
  void UpdateReading();
  // Closes the connection if neither side has anything more to say.
  void CloseIfDone();
  void Copy(std::span<const std::byte> frame);
  void Announce(const char* reason, Duration patience);
  // The client has not answered the announcement in time.
  void OnTimer() override { FinishDrain(); }
  // Names the last stream that is served. Later ones are refused.
  void FinishDrain();
  // Of a tick. IsOverTime returns true if it has ended the session. KeepAlive returns false if the
  // peer does not answer.
  bool IsOverTime(SteadyTime now);
  bool KeepAlive(SteadyTime now);
  void NoteProgress(Duration time);

  FieldMemo fields_;
  Http2Output output_;
  StreamList streams_;  // in the order in which they were opened
  // Input that was left for the next turn, and the violation that ends it, if there is one.
  std::string rest_;
  size_t rest_counted_ = 0;  // bytes of rest_ that the budget for bodies counts
  std::optional<Http2FrameCheck::Violation> violation_;
  Http2Stream* recent_ = nullptr;  // the result of the last FindStream
  bool wants_pause_ = false;       // the turn is over, so nghttp2 shall return early
  bool has_paused_ = false;        // it has, and rest_ waits for Continue
  bool is_reading_paused_ = false;
  bool has_ended_input_ = false;
  bool has_settings_ = false;  // the client's first SETTINGS frame has arrived
  enum class Drain : uint8_t { kNo, kAnnounced, kFinal } drain_ = Drain::kNo;

  // Times of the last tick, input, ping; since when there is no stream, and since when a
  // head is unfinished.
  SteadyTime last_tick_;
  bool is_unused_since_drain_ = false;
  SteadyTime last_received_;
  SteadyTime last_ping_;
  SteadyTime idle_since_;
  SteadyTime head_since_;
  bool has_received_ = false;  // since the last tick
  bool is_ping_open_ = false;
};

}  // namespace penstock::net
