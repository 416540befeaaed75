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

// One HTTP/2 connection (RFC 9113). It feeds input to nghttp2, passes nghttp2's events to the
// streams, and enforces the limits. nghttp2 parses frames, keeps HPACK's tables and the windows;
// what a client may do is decided here. MakeHttp2Session makes it; only tests name the class. See
// the top of session.cc for the path of input and output. Owned by loop.
class Http2Session final : public Session, private StreamHost, private WheelTimer {
 public:
  explicit Http2Session(SessionHost& host);
  ~Http2Session() override;
  Http2Session(const Http2Session&) = delete;
  Http2Session& operator=(const Http2Session&) = delete;

  // The functions of Session: session.h in net/http says what they do.
  bool OnBytes(std::span<const std::byte> bytes) override;
  bool Continue() override;
  bool OnEndOfInput() override;
  void Fill(ByteChain& out, size_t bytes_wanted) override;
  bool HasOutput() const override;
  bool IsIdle() const override;
  void StartDrain() override;
  void AskToReconnect() override;
  bool HasOnlyBegunHead() const override;
  void CutOff(std::string_view why, CutCalls& cut) override;
  bool IsUnusedSinceDrain() const override {
    return drain_ != Drain::kNo && is_unused_since_drain_;
  }
  bool OnTick(SteadyTime now) override;

 private:
  // The callbacks of nghttp2, in session_callbacks.cc.
  struct Callbacks;
  // The table of all callbacks, made once for all sessions. Immutable; it outlives all sessions.
  static const nghttp2_session_callbacks* CallbackTable();

  // Returns null if the stream is closed, or was never opened.
  Http2Stream* FindStream(int32_t id);
  // Takes a stream from the pool for a new request. May ask for a pause, if the turn is over.
  Http2Stream& OpenStream(int32_t id);
  // Closes the stream and returns it to the pool. Does nothing if there is no such stream.
  void CloseStream(int32_t id);
  // A frame was received in full, or written. They return 0, as nghttp2 wants.
  int OnFrame(const nghttp2_frame& frame);
  // Notes a new size of HPACK's table. nghttp2 handles the rest of the client's SETTINGS itself.
  void OnSettings(const nghttp2_settings& settings);
  int OnFrameWritten(const nghttp2_frame& frame);

  // Queues the SETTINGS of the server and the window of the connection.
  void Configure();
  // Gives `bytes` to nghttp2 until they are used or the turn is over. Returns as OnBytes does.
  bool Feed(std::span<const std::byte> bytes);
  // Keeps a copy of input for the next turn. False: there is no memory for it, so go on at once.
  bool KeepRest(std::span<const std::byte> rest);
  // Other connections need places or memory: resets all requests of which a part is missing. Ends
  // the connection if it has never completed a request.
  void DropIncomplete(Shortage shortage) override;
  // nghttp2 cannot go on with the input. Returns false, as OnBytes then does.
  bool OnReceiveError(int error);
  // Ends the connection if too many frames wait to be sent.
  void CheckQueue();
  // Gives the consumed bytes back to the window of the connection, once for each read.
  void ReturnConsumed();
  // Pauses reading while the peer has too many answers to read, and resumes it afterwards.
  void UpdateReading();
  // Closes the connection if neither side has anything more to say.
  void CloseIfDone();
  // Copies a frame of nghttp2 to the output. Adds end_reason_ to a GOAWAY.
  void Copy(std::span<const std::byte> frame);
  // Begins the drain: a GOAWAY that still accepts all streams, and a ping whose answer shows that
  // the client has seen it. After `patience` the drain goes on without an answer. `reason` has
  // static storage.
  void Announce(const char* reason, Duration patience);
  // The client has not answered the announcement in time.
  void OnTimer() override { FinishDrain(); }
  // Ends the drain: a GOAWAY that names the last stream that is served. Later ones are refused.
  void FinishDrain();
  // The steps of OnTick. IsOverTime checks the times for a head and for an idle connection. Returns
  // true if a head has taken too long, which has ended the session. An idle connection only begins
  // its drain.
  bool IsOverTime(SteadyTime now);
  // Sends a ping if the connection was silent for long. Returns false if the peer does not answer.
  bool KeepAlive(SteadyTime now);
  // Reports how fast the incomplete requests arrive, while memory is scarce. `time`: since the last
  // tick.
  void NoteProgress(Duration time);

  FieldMemo fields_;
  Http2Output output_;
  StreamList streams_;  // in the order in which they were opened
  // Input that was left for the next turn, and the violation that ends it, if there is one.
  std::string rest_;
  size_t rest_counted_ = 0;  // bytes of rest_ that the budget for bodies counts
  std::optional<Http2FrameCheck::Violation> violation_;
  Http2Stream* recent_ = nullptr;  // the result of the last FindStream, or null
  bool wants_pause_ = false;       // the turn is over, so nghttp2 must return early
  bool has_paused_ = false;        // it has, and rest_ waits for Continue
  bool is_reading_paused_ = false;
  bool has_ended_input_ = false;  // the client has closed its side or is gone
  bool has_settings_ = false;     // the client's first SETTINGS frame has arrived
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
