// SPDX-License-Identifier: Apache-2.0
// HTTP/1.1 on one connection. It serves one request after the other, and answers in order. While a
// request is being served, the bytes of later requests wait in `pending_`. When too many wait, the
// connection pauses reading. OnAnswer and Fill continue with them.
#include <fmt/format.h>

#include <algorithm>

#include "access/access_control.h"
#include "base/calls/thread_time.h"
#include "net/access_check.h"
#include "net/http/call.h"
#include "net/http/head_storage.h"
#include "net/http/session.h"
#include "net/http1/answer.h"
#include "net/http1/chunked.h"
#include "net/http1/head.h"
#include "net/loop/output_arena.h"
#include "net/loop/timer_wheel.h"

namespace penstock::net {
namespace {

// The limit for bytes of later requests that wait while one is being served.
constexpr size_t kPendingBytesMax = 64 * 1024;
// This many of them are free; the budget of requests counts the rest.
constexpr size_t kPendingBytesUncounted = 4096;
// If the rest of a refused body is at most this long, it is read and dropped, so that the
// connection can be used again. Otherwise the connection closes.
constexpr uint64_t kDiscardBytesMax = 64 * 1024;
// How much of the input is looked at to find the end of a head. Most heads fit.
constexpr size_t kHeadPreviewBytes = 2048;

// Skips empty lines before a request, which old clients send after a body. Returns false if there
// is nothing else yet, or a line feed is still missing.
bool SkipEmptyLines(std::span<const std::byte>& input) {
  constexpr std::byte kCr{'\r'}, kLf{'\n'};
  while (!input.empty()) {
    if (input[0] == kLf) {
      input = input.subspan(1);
    } else if (input[0] == kCr && input.size() > 1 && input[1] == kLf) {
      input = input.subspan(2);
    } else {
      return input[0] != kCr || input.size() > 1;
    }
  }
  return false;
}

// One HTTP/1.1 connection. Owned by loop.
class Http1Session final : public Session,
                           private HttpCallOwner,
                           private WheelTimer,
                           private RequestSender {
  using Bytes = std::span<const std::byte>;

 public:
  explicit Http1Session(SessionHost& host)
      : host_(host),
        parser_(host.server().options.header_bytes_max),
        chunks_(host.server().options.header_bytes_max),
        arena_(OutputArena::Of(host.loop())) {}
  ~Http1Session() override {
    if (call_ != nullptr) call_->Close();
    EndReceiving(/*is_complete=*/false);
    host_.loop().body_bytes().Give(pending_counted_);
  }

  std::span<std::byte> ReadTarget() override;
  bool ReadsInPlace() const override;
  size_t PreviewBytes() const override;
  size_t Preview(Bytes next) override;
  bool OnBytes(std::span<const std::byte> bytes) override;
  bool Continue() override;
  bool OnEndOfInput() override;
  void Fill(ByteChain& out, size_t bytes_wanted) override;
  bool HasOutput() const override { return !out_.empty(); }
  bool IsIdle() const override {
    return state_ == State::kClosed || (state_ == State::kHead && pending_.empty() && out_.empty());
  }
  void StartDrain() override;
  void AskToReconnect() override { ends_with_answer_ = true; }
  bool IsUnusedSinceDrain() const override { return is_unused_since_drain_; }
  bool HasOnlyBegunHead() const override { return head_started_ && out_.empty(); }
  void CutOff(std::string_view why, CutCalls& cut) override;
  bool OnTick(SteadyTime now) override;

 private:
  enum class State {
    kHead,     // between requests, or inside a head
    kBody,     // in a body with a length
    kChunked,  // in a chunked body
    kAnswer,   // the request is complete, the answer is not there yet
    kClosed,   // the last answer is sent or queued; input is dropped
  };

  void Process();
  void Use(Bytes& input);
  void Keep(Bytes bytes);
  // Counts `pending_` in the budget of requests. False if the budget has no memory left.
  bool CountPending();
  // Each uses as much of `input` as it can. Returns false if it needs more input.
  bool TakeHead(Bytes& input);
  bool TakeBody(Bytes& input);
  bool TakeChunks(Bytes& input);
  void BeginRequest();
  void RefuseHead(int status, std::string_view message);
  void RefuseChunks();
  void EndBody();
  bool MayGoOn() const;
  void NoteStall(SteadyTime now);

  void NoteIncomplete();
  void EndReceiving(bool is_complete);
  void DropIncomplete(Shortage shortage) override;
  void OnNoMemory() override;

  void StartGrace();
  void OnTimer() override;

  void OnAnswer(HttpCallImpl& call) override;
  void OnBodyPart(HttpCallImpl& call, ByteChain&& part) override;
  void OnBodyEnd(HttpCallImpl& call, bool is_complete) override;
  void EndAnswer(bool keep);
  bool KeepAfterAnswer();
  void CloseAfterAnswers();

  SessionHost& host_;
  Http1HeadParser parser_;
  ChunkedDecoder chunks_;
  OutputArena& arena_;

  State state_ = State::kHead;
  HttpCallImpl* call_ = nullptr;  // the request being received or served
  bool head_started_ = false;     // call_ holds a part of a head
  // The last body was large, so the next one may be, too. The first one, who knows.
  bool expects_big_body_ = true;
  bool keep_alive_ = true;
  bool is_http10_ = false;
  bool sent_continue_ = false;
  bool expects_continue_ = false;
  bool input_ended_ = false;
  bool ends_with_answer_ = false;  // the next answer is the last one
  bool is_unused_since_drain_ = false;
  bool wants_room_ = false;  // a part of a body is in out_, and its call waits for OnRoom
  bool processing_ = false;
  bool is_receiving_ = false;  // the loop counts the request as incomplete
  bool has_yielded_ = false;   // Continue will be called
  bool is_paused_ = false;
  uint64_t body_left_ = 0;
  std::string pending_;           // input that has not been used yet
  uint64_t pending_counted_ = 0;  // the part of it that the budget counts
  ByteChain out_;

  // Timeouts are measured from tick to tick, so that received bytes need no clock call.
  bool progress_ = false;
  uint64_t received_ = 0;  // since the last tick
  SteadyTime last_tick_ = kNoDeadline;
  SteadyTime stalled_since_ = kNoDeadline;
  SteadyTime head_since_ = kNoDeadline;
};

std::span<std::byte> Http1Session::ReadTarget() {
  if (state_ != State::kBody || call_ == nullptr || !pending_.empty()) return {};
  const std::span<std::byte> target = call_->BodyTarget();
  return target.first(std::min<uint64_t>(target.size(), body_left_));
}

bool Http1Session::ReadsInPlace() const {
  if (!pending_.empty()) return false;
  // The next request comes when this one is answered.
  if (state_ == State::kAnswer) return expects_big_body_;
  return PreviewBytes() > 0 ||
         (state_ == State::kBody && call_ != nullptr && call_->ReadsBodyInPlace());
}

size_t Http1Session::PreviewBytes() const {
  if (!pending_.empty()) return 0;
  if (state_ == State::kHead) return expects_big_body_ && !head_started_ ? kHeadPreviewBytes : 0;
  if (state_ != State::kBody || call_ == nullptr || !call_->WantsBodyPreview()) return 0;
  return kBodyPreviewBytes;
}

size_t Http1Session::Preview(Bytes next) {
  if (state_ == State::kBody) {
    call_->PreviewBody(next);
    return 0;
  }
  constexpr std::string_view kEndOfHead = "\r\n\r\n";
  const std::string_view text(reinterpret_cast<const char*>(next.data()), next.size());
  const size_t end = text.find(kEndOfHead);
  return end == std::string_view::npos ? 0 : end + kEndOfHead.size();
}

bool Http1Session::OnBytes(Bytes bytes) {
  const SenderScope scope(host_.loop().incomplete_requests(), *this);
  progress_ = true;
  received_ += bytes.size();
  // The rest of a request has come: its handler takes this time as its start.
  if (call_ != nullptr) ThreadTime::Read(host_.server().clock);
  if (pending_.empty()) {
    // Nothing waits, so use the bytes where they lie. An answer may come while Use runs;
    // `processing_` then keeps OnAnswer from starting Process inside it.
    processing_ = true;
    Use(bytes);
    processing_ = false;
    if (state_ != State::kClosed) Keep(bytes);
  } else if (state_ != State::kClosed) {
    Keep(bytes);
    Process();
  }
  if (pending_.size() > kPendingBytesMax && !MayGoOn() && !is_paused_) {
    is_paused_ = true;
    host_.PauseReading();
  }
  // Waiting requests are bounded by the pause. An unfinished head goes on only if the budget has
  // memory.
  if (!CountPending() && state_ == State::kHead && head_started_)
    RefuseHead(503, MessageOf(host_.server().request_budget->Refuse()));
  NoteIncomplete();
  return true;
}

bool Http1Session::Continue() {
  has_yielded_ = false;
  Process();
  return true;
}

void Http1Session::Keep(Bytes bytes) {
  pending_.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
}

// Small amounts are not counted: every connection may have them.
bool Http1Session::CountPending() {
  Loop& loop = host_.loop();
  const size_t counted = pending_.size() <= kPendingBytesUncounted ? 0 : pending_.capacity();
  if (counted > pending_counted_ && !loop.TryTakeBodyBytes(counted - pending_counted_))
    return false;
  if (counted < pending_counted_) loop.body_bytes().Give(pending_counted_ - counted);
  pending_counted_ = counted;
  return true;
}

// Uses as much of `input` as possible, and removes it.
void Http1Session::Use(Bytes& input) {
  while (!input.empty() && MayGoOn()) {
    if (state_ == State::kHead && !head_started_ && host_.loop().turn().CountRequest()) {
      has_yielded_ = true;
      host_.Yield();
      break;
    }
    const bool went_on = state_ == State::kHead   ? TakeHead(input)
                         : state_ == State::kBody ? TakeBody(input)
                                                  : TakeChunks(input);
    if (!went_on) break;
  }
}

// Returns true if the session may use the next piece of input now.
bool Http1Session::MayGoOn() const {
  if (state_ == State::kClosed || state_ == State::kAnswer) return false;
  // A client that does not read its answers gets no new request served. A request that has begun
  // goes on, because its memory is in use already.
  return state_ != State::kHead || head_started_ ||
         out_.bytes() <= host_.server().options.write_queue_bytes_max;
}

// Uses as much of `pending_` as possible.
void Http1Session::Process() {
  if (processing_) return;
  if (!pending_.empty()) {
    const SenderScope scope(host_.loop().incomplete_requests(), *this);
    processing_ = true;
    Bytes input(reinterpret_cast<const std::byte*>(pending_.data()), pending_.size());
    Use(input);
    processing_ = false;
    pending_.erase(0, pending_.size() - input.size());
    if (pending_.empty() && pending_.capacity() > kPendingBytesUncounted) pending_ = {};
    CountPending();
    if (is_paused_ && pending_.size() <= kPendingBytesMax) {
      is_paused_ = false;
      host_.ResumeReading();
    }
    NoteIncomplete();
  }
  // The input has ended, so the remaining bytes never become a request.
  if (input_ended_ && !has_yielded_ && state_ == State::kHead && MayGoOn()) CloseAfterAnswers();
}

bool Http1Session::TakeHead(Bytes& input) {
  if (!head_started_) {
    // The call is made at the first byte of a head, and not before: an idle connection then holds
    // no call.
    if (!SkipEmptyLines(input)) return false;
    call_ = NewHttpCall(host_.loop(), *this);
    parser_.Start(call_->head_storage());
    head_started_ = true;
  }
  const std::string_view text(reinterpret_cast<const char*>(input.data()), input.size());
  switch (parser_.Parse(text)) {
    case Http1HeadParser::Result::kMore:
      return false;
    case Http1HeadParser::Result::kBad:
      RefuseHead(parser_.error_status(), parser_.error_message());
      return true;
    case Http1HeadParser::Result::kDone:
      input = input.subspan(parser_.head_bytes());
      BeginRequest();
      // The client waits for "100 Continue" only if it has not sent the body yet.
      if (call_ != nullptr && expects_continue_ && input.empty() && state_ != State::kAnswer) {
        arena_.Begin();
        arena_.Append("HTTP/1.1 100 Continue\r\n\r\n");
        out_.Append(arena_.End());
        sent_continue_ = true;
        host_.ScheduleFlush();
      }
      return true;
  }
  return false;
}

void Http1Session::BeginRequest() {
  head_started_ = false;
  keep_alive_ = parser_.keep_alive();
  is_http10_ = parser_.is_http10();
  expects_continue_ = parser_.expects_continue();
  sent_continue_ = false;
  RequestHead& head = call_->mutable_head();
  // The call may outlive the connection, so it needs a copy of the peer's name. Append before the
  // head is filled: it may move the bytes.
  HeadStorage& storage = call_->head_storage();
  const std::string_view peer = host_.peer();
  const size_t peer_at = storage.Append(peer);
  parser_.FillHead(head);
  head.endpoint = &host_.endpoint();
  head.peer = storage.View(peer_at, peer.size());
  if (access::CallerMemo* const callers = host_.callers(); callers != nullptr)
    head.caller = callers->Identify(AuthorizationOf(head.headers));

  const bool is_chunked = parser_.is_chunked();
  body_left_ = parser_.content_length().value_or(0);
  expects_big_body_ = body_left_ >= kBigBodyBytes;
  state_ = is_chunked ? State::kChunked : State::kBody;
  if (is_chunked) chunks_.Start();
  call_->OnHead(is_chunked ? std::nullopt : std::optional<uint64_t>(body_left_));
  if (state_ == State::kBody && body_left_ == 0) EndBody();
}

void Http1Session::RefuseHead(int status, std::string_view message) {
  NetMetrics& metrics = host_.server().metrics;
  if (status == 431 || status == 414) {
    metrics.limit_header_bytes.Add();
  } else if (status != 503) {  // the budget has counted this one
    metrics.protocol_errors.Add();
  }
  head_started_ = false;
  keep_alive_ = false;
  call_->Refuse(status, message);
}

bool Http1Session::TakeBody(Bytes& input) {
  const Bytes piece = input.first(std::min<uint64_t>(input.size(), body_left_));
  input = input.subspan(piece.size());
  body_left_ -= piece.size();
  if (call_ != nullptr) call_->OnBody(piece);
  if (state_ == State::kBody && body_left_ == 0) EndBody();
  return true;
}

bool Http1Session::TakeChunks(Bytes& input) {
  Bytes data;
  switch (chunks_.Decode(input, data)) {
    case ChunkedDecoder::Result::kMore:
      return false;
    case ChunkedDecoder::Result::kData:
      call_->OnBody(data);
      return true;
    case ChunkedDecoder::Result::kEnd:
      EndBody();
      return true;
    case ChunkedDecoder::Result::kBad:
      RefuseChunks();
      return true;
  }
  return false;
}

// A request whose rest has not come yet counts as incomplete. One that comes in one read never
// does.
void Http1Session::NoteIncomplete() {
  if (is_receiving_ || call_ == nullptr) return;
  const bool has_body = state_ == State::kBody || state_ == State::kChunked;
  const bool has_large_head = state_ == State::kHead && pending_counted_ > 0;
  if (!has_body && !has_large_head) return;
  is_receiving_ = host_.loop().incomplete_requests().Begin(*this);
}

void Http1Session::EndReceiving(bool is_complete) {
  IncompleteRequests& requests = host_.loop().incomplete_requests();
  if (std::exchange(is_receiving_, false)) {
    requests.End(*this, is_complete);
  } else if (is_complete) {
    requests.NoteComplete(*this);
  }
}

void Http1Session::DropIncomplete(Shortage shortage) {
  EndReceiving(/*is_complete=*/false);
  head_started_ = false;
  keep_alive_ = false;
  // Give the memory back first: it is what the other connection waits for.
  pending_ = {};
  (void)CountPending();
  ServerState& server = host_.server();
  std::string why = "the server has too many incomplete requests; try again later";
  if (shortage == Shortage::kMemory) {
    why = MessageOf(server.request_budget->Refuse());
  } else {
    server.metrics.limit_requests.Add();
  }
  if (call_ != nullptr) call_->Refuse(503, why, {{"retry-after", "1"}});
}

// So a client that only begins requests must connect again for each.
void Http1Session::OnNoMemory() {
  if (!has_completed()) keep_alive_ = false;
}

void Http1Session::RefuseChunks() {
  host_.server().metrics.protocol_errors.Add();
  keep_alive_ = false;
  call_->Refuse(400, fmt::format("malformed chunked body: {}", chunks_.error()));
}

void Http1Session::EndBody() {
  if (call_ == nullptr) {  // the call was answered before its body arrived
    state_ = State::kHead;
    return;
  }
  state_ = State::kAnswer;
  EndReceiving(/*is_complete=*/true);
  if (input_ended_) StartGrace();
  call_->OnBodyEnd();
}

// True if the connection can be used for another request after this answer.
bool Http1Session::KeepAfterAnswer() {
  // The server's flag is set before this connection hears of the drain. A client told now need not
  // lose a request later.
  if (!keep_alive_ || ends_with_answer_ || host_.server().is_draining()) return false;
  switch (state_) {
    case State::kAnswer:
      return true;
    case State::kBody:
      // A client that got no "100 Continue" may or may not send the body.
      return body_left_ == 0 ||
             (body_left_ <= kDiscardBytesMax && (!expects_continue_ || sent_continue_));
    default:
      return false;
  }
}

void Http1Session::OnAnswer(HttpCallImpl& call) {
  const bool is_in_parts = call.is_in_parts();
  // A client that sends nothing more and has left looks the same as one that waits. Its time to
  // wait runs on.
  if (!is_in_parts) Disarm();
  if (is_in_parts && is_http10_) keep_alive_ = false;
  const bool keep = KeepAfterAnswer();
  WriteHttp1Answer(call, {.keeps_connection = keep, .is_http10 = is_http10_}, arena_, out_);
  if (is_in_parts) {
    keep_alive_ = keep;
    return host_.ScheduleFlush();
  }
  EndAnswer(keep);
}

void Http1Session::OnBodyPart(HttpCallImpl&, ByteChain&& part) {
  if (is_http10_) {
    out_.Append(std::move(part));
  } else {
    WriteHttp1Chunk(std::move(part), arena_, out_);
  }
  wants_room_ = true;
  host_.ScheduleFlush();
}

void Http1Session::OnBodyEnd(HttpCallImpl&, bool is_complete) {
  Disarm();
  wants_room_ = false;
  if (is_complete && !is_http10_) {
    arena_.Begin();
    arena_.Append(kHttp1LastChunk);
    out_.Append(arena_.End());
  }
  // The end of the connection tells the client that the body is not complete.
  EndAnswer(is_complete && KeepAfterAnswer());
}

void Http1Session::EndAnswer(bool keep) {
  std::exchange(call_, nullptr)->Close();
  if (is_receiving_) EndReceiving(/*is_complete=*/false);
  host_.ScheduleFlush();
  if (!keep) return CloseAfterAnswers();
  // In the state kBody the rest of the body is still to come. TakeBody drops it.
  if (state_ == State::kAnswer) state_ = State::kHead;
  Process();
}

void Http1Session::CloseAfterAnswers() {
  state_ = State::kClosed;
  if (call_ != nullptr) std::exchange(call_, nullptr)->Close();
  host_.CloseAfterFlush();
}

void Http1Session::Fill(ByteChain& out, size_t) {
  for (Slice& slice : out_.mutable_slices()) out.Append(std::move(slice));
  out_ = {};
  // The connection calls again when these bytes are written. So at most one part of a body waits
  // here while another one is written.
  if (std::exchange(wants_room_, false) && call_ != nullptr) call_->OnRoom();
  Process();  // continue with requests that waited until the answers left
}

bool Http1Session::OnEndOfInput() {
  input_ended_ = true;
  // A complete request gets its answer, unless that takes long. An incomplete one gets none.
  if (state_ == State::kAnswer) {
    StartGrace();
  } else if (state_ != State::kClosed && MayGoOn() && !has_yielded_) {
    CloseAfterAnswers();
  }
  return true;
}

// Limits the time for the answer to a client that sends nothing more. The client has half-closed
// its connection and waits, which is rare, or it is gone. Both look the same, and the model should
// not run on for nobody.
void Http1Session::StartGrace() {
  ServerState& server = host_.server();
  host_.loop().timers().Arm(*this, server.clock.Now() + server.options.half_close_grace);
}

void Http1Session::OnTimer() {
  keep_alive_ = false;
  if (call_->is_answered()) return CloseAfterAnswers();
  const auto grace = std::chrono::duration_cast<std::chrono::milliseconds>(
      host_.server().options.half_close_grace);
  call_->Cancel(CancelReason::kClientLeft, 499,
                fmt::format("the client closed its side of the connection, and the answer was "
                            "not there within {} ms of that (half_close_grace_ms)",
                            grace.count()));
}

void Http1Session::StartDrain() {
  ends_with_answer_ = true;
  if (!IsIdle()) return;
  is_unused_since_drain_ = state_ != State::kClosed;
  CloseAfterAnswers();
}

void Http1Session::CutOff(std::string_view why, CutCalls& cut) {
  if (call_ == nullptr) return;
  keep_alive_ = false;
  if (std::exchange(head_started_, false)) {
    return call_->Refuse(503, fmt::format("{}, and the request's head was not complete", why));
  }
  cut.Add(cut.http1, *call_);
  call_->CutOff(fmt::format("{} {}", why,
                            state_ == State::kAnswer ? "before the answer was there"
                                                     : "while the body was not complete"));
}

bool Http1Session::OnTick(SteadyTime now) {
  const ServerOptions& options = host_.server().options;
  NoteStall(now);
  const uint64_t received = std::exchange(received_, 0);
  const SteadyTime last_tick = std::exchange(last_tick_, now);
  if (is_receiving_ && last_tick != kNoDeadline && host_.server().is_memory_scarce())
    host_.loop().incomplete_requests().NoteProgress(*this, received, now - last_tick);
  const auto passed = [&](SteadyTime since, Duration limit) {
    return limit > Duration::zero() && since != kNoDeadline && now - since >= limit;
  };
  if (passed(head_since_, options.header_timeout)) {
    host_.server().metrics.limit_timeouts.Add();
    // Only a line break has come and no byte of a request. So there is nothing to answer.
    if (!head_started_) return false;
    head_started_ = false;
    keep_alive_ = false;
    call_->Refuse(408, "the request's head did not arrive in time");
  } else if ((state_ == State::kBody || state_ == State::kChunked) &&
             passed(stalled_since_, options.body_timeout)) {
    host_.server().metrics.limit_timeouts.Add();
    keep_alive_ = false;
    if (call_ == nullptr) return false;
    call_->Refuse(408, "the request's body did not arrive in time");
  }
  return true;
}

void Http1Session::NoteStall(SteadyTime now) {
  // The whole head must come within the time, however often bytes arrive. Otherwise a client could
  // send a byte now and then, and keep a connection for ever. A body may be long, so only a pause
  // counts there.
  const bool in_head =
      state_ == State::kHead && (head_started_ || (!pending_.empty() && out_.empty()));
  if (!in_head) head_since_ = kNoDeadline;
  if (in_head && head_since_ == kNoDeadline) head_since_ = now;
  if (std::exchange(progress_, false) || stalled_since_ == kNoDeadline) stalled_since_ = now;
}

}  // namespace

std::unique_ptr<Session> MakeHttp1Session(SessionHost& host) {
  return std::make_unique<Http1Session>(host);
}

}  // namespace penstock::net
