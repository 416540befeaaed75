// SPDX-License-Identifier: Apache-2.0
// How it works. nghttp2 parses and writes frames; this class decides what is allowed. OnBytes
// passes input through Http2FrameCheck, then to nghttp2, up to the first frame that breaks a rule.
// nghttp2 calls Callbacks, which passes each event on to its stream. Output is pulled: calls
// only submit heads and bodies to nghttp2, and Fill lets nghttp2 frame as much as the connection
// wants. So a burst of answers is framed and sent together. `depth_` shows that nghttp2 is on the
// call stack; output that is submitted then needs no flush of its own, since OnBytes and Fill check
// for output afterwards.
//
// The turn of a connection may be over while input is left. OnHeader then makes nghttp2 return
// (NGHTTP2_ERR_PAUSE), and the rest waits in `rest_` until the connection calls Continue.
//
// A client can harm the server in three ways, and each has its own limit. It may send cheap frames
// that cause work: Http2FrameCheck counts them. It may make nghttp2 queue frames without reading
// them: CheckQueue ends the connection. It may send requests and read no answers: UpdateReading
// stops reading from it. The receive window of the connection is given back once per read, not for
// each DATA frame.
//
// A drain has two steps (RFC 9113, section 6.8), because requests may be on their way: first a
// GOAWAY that still accepts all streams, with a ping. After the answer to the ping, or after
// kAnnounceTime, a GOAWAY with the last stream that is served.
#include "net/http2/session.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <utility>

#include "base/calls/thread_time.h"
#include "base/check.h"
#include "base/log.h"
#include "net/http2/memory.h"
#include "net/loop/loop_pool.h"
#include "net/loop/server_state.h"

namespace penstock::net {
namespace {

using StreamPool = LoopPool<Http2Stream>;
constexpr LoopPoolKind kStreamPool = {LoopLocalKey::kHttp2Streams, 1024, sizeof(Http2Stream)};
// Input of up to this size may wait for the next turn for free. The budget for bodies counts more.
constexpr size_t kRestBytesUncounted = 4096;
// Higher than the limit of Http2FrameCheck, so that the check ends the connection and not nghttp2.
constexpr size_t kAcksQueuedMax = 4000;
constexpr uint64_t kResetsUnchecked = 1'000'000'000;
// How long a client has to answer the announcement of the end, and how long at the end of the
// server if no request is open.
constexpr Duration kAnnounceTime = std::chrono::seconds(1);
constexpr Duration kAnnounceTimeOfIdle = std::chrono::milliseconds(250);
// The payload of the ping that follows the drain's first GOAWAY. Its answer proves that the client
// has seen that GOAWAY.
constexpr std::array<uint8_t, 8> kDrainPing = {'p', 'e', 'n', 's', 't', 'o', 'c', 'k'};

// nghttp2's options, shared by all sessions. Immutable.
class SessionOptions final {
 public:
  static const nghttp2_option* Get() {
    static const SessionOptions options;
    return options.options_;
  }

 private:
  SessionOptions() {
    PENSTOCK_CHECK(nghttp2_option_new(&options_) == 0, "out of memory");
    nghttp2_option_set_no_auto_window_update(options_, 1);
    nghttp2_option_set_no_http_messaging(options_, 1);  // fields.h checks instead
    // Closed streams would fill the CPU cache: nghttp2 keeps up to MAX_CONCURRENT_STREAMS of them
    // for a connection. Http2FrameCheck does the checks for which nghttp2 needs them.
    nghttp2_option_set_no_closed_streams(options_, 1);
    nghttp2_option_set_max_outbound_ack(options_, kAcksQueuedMax);
    nghttp2_option_set_max_continuations(options_, 2 * kContinuationsMax);
    nghttp2_option_set_stream_reset_rate_limit(options_, kResetsUnchecked, kResetsUnchecked);
  }
  ~SessionOptions() { nghttp2_option_del(options_); }
  nghttp2_option* options_ = nullptr;
};

// Counts a call into nghttp2 while the scope lasts. Owned by loop.
class DepthScope final {
 public:
  explicit DepthScope(int& depth) : depth_(depth) { ++depth_; }
  ~DepthScope() { --depth_; }
  DepthScope(const DepthScope&) = delete;
  DepthScope& operator=(const DepthScope&) = delete;

 private:
  int& depth_;
};

}  // namespace

std::unique_ptr<Session> MakeHttp2Session(SessionHost& host) {
  return std::make_unique<Http2Session>(host);
}

// --- life

Http2Session::Http2Session(SessionHost& host) : StreamHost(host) {
  AddHttp2Memory(loop_);
  const int error = nghttp2_session_server_new3(&ng_, CallbackTable(), this, SessionOptions::Get(),
                                                Http2Memory());
  PENSTOCK_CHECK(error == 0, "out of memory");
  now_ = last_tick_ = last_received_ = last_ping_ = idle_since_ = head_since_ =
      server().clock.Now();
  Configure();
}

Http2Session::~Http2Session() {
  // Close the streams here, because nghttp2_session_del does not report them. `depth_` keeps
  // handlers of the cancel tokens from scheduling a flush of this session.
  ++depth_;
  while (Http2Stream* stream = streams_.first()) CloseStream(stream->id());
  nghttp2_session_del(ng_);
  loop_.body_bytes().Give(rest_counted_);
}

void Http2Session::Configure() {
  const ServerOptions& options = server().options;
  const auto as_window = [](uint64_t bytes) {
    return static_cast<int32_t>(std::clamp<uint64_t>(bytes, 65'535, NGHTTP2_MAX_WINDOW_SIZE));
  };
  const std::array<nghttp2_settings_entry, 4> settings = {{
      {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS,
       static_cast<uint32_t>(options.streams_per_connection_max)},
      {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE,
       static_cast<uint32_t>(as_window(options.http2_stream_window_bytes))},
      {NGHTTP2_SETTINGS_MAX_FRAME_SIZE, kFrameBytesMax},
      {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, static_cast<uint32_t>(options.header_bytes_max)},
  }};
  nghttp2_submit_settings(ng_, NGHTTP2_FLAG_NONE, settings.data(), settings.size());
  nghttp2_session_set_local_window_size(ng_, NGHTTP2_FLAG_NONE, 0,
                                        as_window(options.http2_connection_window_bytes));
  OnOutput();
}

Http2Stream* Http2Session::FindStream(int32_t id) {
  if (recent_ != nullptr && recent_->id() == id) return recent_;
  auto* stream = static_cast<Http2Stream*>(nghttp2_session_get_stream_user_data(ng_, id));
  if (stream != nullptr) recent_ = stream;
  return stream;
}

Http2Stream& Http2Session::OpenStream(int32_t id) {
  is_unused_since_drain_ = false;
  Http2Stream* taken = StreamPool::Of(loop(), kStreamPool).Take().release();
  Http2Stream& stream = taken != nullptr ? *taken : *new Http2Stream;
  stream.Open(*this, id);
  streams_.Add(stream);
  nghttp2_session_set_stream_user_data(ng_, id, &stream);
  recent_ = &stream;
  // A few bytes can hold hundreds of requests, since HPACK shortens a head to some bytes. So
  // requests count, and not only bytes.
  wants_pause_ = loop_.turn().CountRequest();
  return stream;
}

void Http2Session::CloseStream(int32_t id) {
  Http2Stream* stream = FindStream(id);
  if (stream == nullptr) return;
  nghttp2_session_set_stream_user_data(ng_, id, nullptr);
  recent_ = nullptr;
  streams_.Remove(*stream);
  if (streams_.empty()) idle_since_ = now_;
  stream->Close();
  StreamPool::Of(loop(), kStreamPool).Give(std::unique_ptr<Http2Stream>(stream));
}

// --- in

bool Http2Session::OnBytes(std::span<const std::byte> bytes) {
  has_received_ = true;
  now_ = ThreadTime::Read(server().clock);
  violation_ = frames_.Check(bytes);
  return Feed(bytes.first(violation_ ? violation_->at : bytes.size()));
}

bool Http2Session::Continue() {
  if (is_reading_paused_) return true;  // UpdateReading yields again
  has_paused_ = false;
  // Take the rest out first, because Feed may keep a new one.
  const std::string rest = std::exchange(rest_, {});
  loop_.body_bytes().Give(std::exchange(rest_counted_, 0));
  return Feed(std::as_bytes(std::span(rest)));
}

// Gives `bytes` to nghttp2. If the turn ends before all are used, the rest waits for Continue.
bool Http2Session::Feed(std::span<const std::byte> bytes) {
  const SenderScope scope(loop_.incomplete_requests(), *this);
  bool is_paused = true;
  while (is_paused) {
    ssize_t taken;
    {
      const DepthScope depth(depth_);
      taken = nghttp2_session_mem_recv(ng_, reinterpret_cast<const uint8_t*>(bytes.data()),
                                       bytes.size());
      CountBegun();
      ReturnConsumed();
    }
    if (taken < 0) return OnReceiveError(static_cast<int>(taken));
    is_paused = has_paused_;
    bytes = bytes.subspan(static_cast<size_t>(taken));
    // Without memory for the rest, go on at once. This connection then takes a longer turn, but
    // loses nothing.
    if (is_paused && KeepRest(bytes)) {
      host_.Yield();
      break;
    }
    has_paused_ = false;
  }
  // Only now, when nghttp2 has used all bytes before the wrong frame: their requests are valid, and
  // get their answers.
  if (!is_paused && violation_ && !is_terminated_) {
    if (violation_->error_code == NGHTTP2_ENHANCE_YOUR_CALM) server().metrics.limit_floods.Add();
    Terminate(violation_->error_code, violation_->reason);
  }
  CheckQueue();
  // The time for a head runs only while one is unfinished.
  if (!frames_.is_inside_header_block()) head_since_ = now_;
  UpdateReading();
  if (HasOutput()) {
    host_.ScheduleFlush();
  } else {
    CloseIfDone();
  }
  return !is_terminated_;
}

// Ends the connection if too many frames wait to be sent. A client can make nghttp2 queue a reset
// for each refused stream, and acknowledgements.
void Http2Session::CheckQueue() {
  const auto streams = static_cast<size_t>(server().options.streams_per_connection_max);
  if (nghttp2_session_get_outbound_queue_size(ng_) <=
          kFramesQueuedMax + kFramesQueuedPerStream * streams ||
      is_terminated_)
    return;
  server().metrics.limit_floods.Add();
  Terminate(NGHTTP2_ENHANCE_YOUR_CALM, "too many frames wait to be sent");
}

// A connection that has completed requests goes on, since it is probably a client with large
// bodies. Otherwise it ends.
void Http2Session::DropIncomplete(Shortage shortage) {
  const bool is_memory = shortage == Shortage::kMemory;
  if (is_memory) {
    // Only for the metric: a reset has no place for the message.
    (void)server().request_budget->Refuse();
  } else {
    server().metrics.limit_requests.Add();
  }
  // Take the next one first, because CloseStream returns this one to the pool.
  for (Http2Stream *next, *stream = streams_.first(); stream != nullptr; stream = next) {
    next = StreamList::Next(*stream);
    if (!stream->is_receiving()) continue;
    stream->DropIncomplete();
    // Free its memory now, because the peer may not read the reset. nghttp2 may still hold a part
    // of an answer.
    if (depth_ == 0 && !stream->has_answer()) CloseStream(stream->id());
  }
  if (!has_completed())
    Terminate(
        NGHTTP2_ENHANCE_YOUR_CALM,
        is_memory
            ? "others need the memory of incomplete requests, and this connection completed none"
            : "the server has too many incomplete requests, and this connection completed none");
}

bool Http2Session::OnReceiveError(int error) {
  server().metrics.protocol_errors.Add();
  PENSTOCK_LOG(kDebug, "HTTP/2 from {}: {}", host_.peer(), nghttp2_strerror(error));
  if (error == NGHTTP2_ERR_FLOODED)
    Terminate(NGHTTP2_ENHANCE_YOUR_CALM, "too many frames that need an answer");
  return false;
}

void Http2Session::ReturnConsumed() {
  if (consumed_ > 0) nghttp2_session_consume_connection(ng_, std::exchange(consumed_, 0));
}

// Returns false if the budget has no memory for it.
bool Http2Session::KeepRest(std::span<const std::byte> rest) {
  const size_t counted = rest.size() > kRestBytesUncounted ? rest.size() : 0;
  if (counted > 0 && !loop_.TryTakeBodyBytes(counted)) return false;
  rest_counted_ = counted;
  rest_.assign(reinterpret_cast<const char*>(rest.data()), rest.size());
  return true;
}

// HTTP/2 has no half-close: a client that sends nothing more is gone. So its calls are cancelled,
// and no model runs for it.
bool Http2Session::OnEndOfInput() {
  has_ended_input_ = true;
  rest_.clear();
  for (Http2Stream* stream = streams_.first(); stream != nullptr;
       stream = StreamList::Next(*stream))
    nghttp2_submit_rst_stream(ng_, NGHTTP2_FLAG_NONE, stream->id(), NGHTTP2_CANCEL);
  OnOutput();
  return !streams_.empty() || HasOutput();
}

int Http2Session::OnFrame(const nghttp2_frame& frame) {
  const bool ends = (frame.hd.flags & NGHTTP2_FLAG_END_STREAM) != 0;
  switch (frame.hd.type) {
    case NGHTTP2_HEADERS:
      if (Http2Stream* stream = FindStream(frame.hd.stream_id)) {
        frame.headers.cat == NGHTTP2_HCAT_REQUEST ? stream->OnHead(ends) : stream->OnTrailers(ends);
      }
      return 0;
    case NGHTTP2_DATA:
      if (!ends) return 0;
      if (Http2Stream* stream = FindStream(frame.hd.stream_id)) stream->OnEnd();
      return 0;
    case NGHTTP2_SETTINGS:
      OnSettings(frame.settings);
      return 0;
    case NGHTTP2_PING:
      if ((frame.hd.flags & NGHTTP2_FLAG_ACK) != 0 && drain_ == Drain::kAnnounced &&
          std::memcmp(frame.ping.opaque_data, kDrainPing.data(), kDrainPing.size()) == 0)
        FinishDrain();
      return 0;
    default:
      return 0;
  }
}

void Http2Session::OnSettings(const nghttp2_settings& settings) {
  has_settings_ = true;
  for (const nghttp2_settings_entry& entry : std::span(settings.iv, settings.niv))
    if (entry.settings_id == NGHTTP2_SETTINGS_HEADER_TABLE_SIZE) has_new_table_size_ = true;
}

// --- out

int Http2Session::OnFrameWritten(const nghttp2_frame& frame) {
  if (frame.hd.type == NGHTTP2_GOAWAY) {
    if (frame.goaway.error_code != NGHTTP2_NO_ERROR) server().metrics.protocol_errors.Add();
  } else if (early_ends_ > 0 && (frame.hd.flags & NGHTTP2_FLAG_END_STREAM) != 0 &&
             (frame.hd.type == NGHTTP2_DATA || frame.hd.type == NGHTTP2_HEADERS)) {
    if (Http2Stream* stream = FindStream(frame.hd.stream_id)) stream->OnEndSent();
  }
  return 0;
}

void Http2Session::Fill(ByteChain& out, size_t bytes_wanted) {
  {
    const DepthScope scope(depth_);
    ReturnConsumed();
    output_.Begin(out, bytes_wanted);
    const int error = nghttp2_session_send(ng_);
    // nghttp2 has sent all that the peer's windows allow. What is left waits for the peer, so it no
    // longer counts as pending.
    if (!output_.is_full()) {
      pending_bytes_ = 0;
      ++flush_number_;
    }
    output_.End();
    if (error != 0) {
      PENSTOCK_LOG(kWarning, "HTTP/2 to {}: {}", host_.peer(), nghttp2_strerror(error));
      host_.CloseAfterFlush();
      return;
    }
  }
  UpdateReading();
  // After nghttp2 has returned: a writer may submit its next message at once.
  for (const int32_t id : std::exchange(with_room_, {})) {
    if (Http2Stream* stream = FindStream(id)) stream->OnRoom();
  }
  CloseIfDone();
}

// Copies a frame of nghttp2 to the output. nghttp2 ends a session with a GOAWAY without a text;
// this adds the reason.
void Http2Session::Copy(std::span<const std::byte> frame) {
  constexpr size_t kBareGoawayBytes = 9 + 8;  // the frame header; then stream and error code
  const bool is_goaway = end_reason_ != nullptr && is_terminated_ &&
                         frame.size() == kBareGoawayBytes && frame[3] == std::byte{NGHTTP2_GOAWAY};
  if (!is_goaway) return output_.Copy(frame);
  const std::string_view reason = end_reason_;
  std::array<std::byte, kBareGoawayBytes> head;
  std::copy(frame.begin(), frame.end(), head.begin());
  head[2] = static_cast<std::byte>(8 + reason.size());  // the last byte of the frame's length
  output_.Copy(head);
  output_.Copy(std::as_bytes(std::span(reason)));
}

void Http2Session::CloseIfDone() {
  const bool is_done =
      nghttp2_session_want_read(ng_) == 0 || (has_ended_input_ && streams_.empty());
  if (is_done && !HasOutput()) host_.CloseAfterFlush();
}

bool Http2Session::HasOutput() const { return nghttp2_session_want_write(ng_) != 0; }

// Stops reading from a peer that sends requests but reads no answers. Answers that wait only for
// the peer's window do not count, since the session must read its WINDOW_UPDATE.
void Http2Session::UpdateReading() {
  const bool shall_pause = pending_bytes_ > server().options.write_queue_bytes_max;
  if (shall_pause == is_reading_paused_) return;
  is_reading_paused_ = shall_pause;
  if (shall_pause) return host_.PauseReading();
  if (has_paused_) host_.Yield();  // before other input is read
  host_.ResumeReading();
}

// --- the connection's course

bool Http2Session::IsIdle() const {
  return streams_.empty() && rest_.empty() && drain_ != Drain::kAnnounced;
}

void Http2Session::StartDrain() {
  // Some clients read nothing while they have no request. They must not delay the end of the
  // server.
  const bool is_idle = streams_.empty() && rest_.empty();
  Announce("the server stops", is_idle ? kAnnounceTimeOfIdle : kAnnounceTime);
}

void Http2Session::AskToReconnect() { Announce("the connection is old", kAnnounceTime); }

// Announces that the connection will soon accept no new requests. The answer to the ping shows that
// the client knows it, and that requests which were on their way have arrived. Waits `patience` for
// it.
void Http2Session::Announce(const char* reason, Duration patience) {
  if (drain_ != Drain::kNo) return;
  end_reason_ = reason;
  drain_ = Drain::kAnnounced;
  is_unused_since_drain_ = streams_.empty() && rest_.empty();
  nghttp2_submit_shutdown_notice(ng_);
  nghttp2_submit_ping(ng_, NGHTTP2_FLAG_NONE, kDrainPing.data());
  loop_.timers().Arm(*this, server().clock.Now() + patience);
  for (Http2Stream* stream = streams_.first(); stream != nullptr;
       stream = StreamList::Next(*stream))
    stream->OnAnnounce(reason);
  OnOutput();
}

void Http2Session::FinishDrain() {
  Disarm();
  drain_ = Drain::kFinal;
  nghttp2_submit_goaway(ng_, NGHTTP2_FLAG_NONE, nghttp2_session_get_last_proc_stream_id(ng_),
                        NGHTTP2_NO_ERROR, reinterpret_cast<const uint8_t*>(end_reason_),
                        std::strlen(end_reason_));
  OnOutput();
}

bool Http2Session::HasOnlyBegunHead() const {
  const Http2Stream* stream = streams_.first();
  if (stream == nullptr) return frames_.is_inside_header_block() || !has_settings_;
  for (; stream != nullptr; stream = StreamList::Next(*stream))
    if (stream->is_head_complete()) return false;
  return true;
}

void Http2Session::CutOff(std::string_view why, CutCalls& cut) {
  for (Http2Stream* stream = streams_.first(); stream != nullptr;
       stream = StreamList::Next(*stream))
    stream->CutOff(why, cut);
  if (drain_ == Drain::kAnnounced) FinishDrain();
}

bool Http2Session::OnTick(SteadyTime now) {
  now_ = now;
  frames_.OnSecond();
  NoteProgress(now - std::exchange(last_tick_, now));
  if (std::exchange(has_received_, false)) {
    last_received_ = now;
    is_ping_open_ = false;
  }
  if (IsOverTime(now)) return true;
  for (Http2Stream* stream = streams_.first(); stream != nullptr;
       stream = StreamList::Next(*stream))
    stream->OnTick(now);
  return KeepAlive(now);
}

void Http2Session::NoteProgress(Duration time) {
  const uint64_t received = std::exchange(received_, 0);
  if (has_incomplete() && server().is_memory_scarce())
    loop_.incomplete_requests().NoteProgress(*this, received, time);
}

bool Http2Session::IsOverTime(SteadyTime now) {
  const ServerOptions& options = server().options;
  const bool waits_for_head = frames_.is_inside_header_block() || !has_settings_;
  if (waits_for_head && options.header_timeout > Duration::zero() &&
      now - head_since_ > options.header_timeout) {
    server().metrics.limit_timeouts.Add();
    Terminate(NGHTTP2_ENHANCE_YOUR_CALM, "a head took too long");
    return true;
  }
  if (streams_.empty() && options.idle_timeout > Duration::zero() &&
      now - idle_since_ >= options.idle_timeout)
    // Announce first, since a request may be on its way.
    Announce("the connection was idle", kAnnounceTime);
  return false;
}

bool Http2Session::KeepAlive(SteadyTime now) {
  const Duration interval = server().options.keepalive_interval;
  if (is_ping_open_) return now - last_ping_ < kPingAnswerTimeout;
  if (interval <= Duration::zero() || is_reading_paused_) return true;
  if (now - std::max(last_received_, last_ping_) < interval) return true;
  is_ping_open_ = true;
  last_ping_ = now;
  nghttp2_submit_ping(ng_, NGHTTP2_FLAG_NONE, nullptr);
  OnOutput();
  return true;
}

}  // namespace penstock::net
