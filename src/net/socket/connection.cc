// SPDX-License-Identifier: Apache-2.0
// How it works. Each event starts with one asynchronous read of 2 KiB. If that buffer is full,
// recv() reads on without waiting, either into the buffer of a big body (Session::ReadTarget) or
// into the scratch memory of the loop. So an idle connection needs little memory. Where a big body
// may come, the event starts without a read instead, and the session looks at the bytes that are
// still in the socket (Session::Preview). So a big body is not copied. The bytes and the time per
// event are bounded. A connection with more input then waits for its next turn
// (EventLoop::ContinueLater) behind the connections that have had none yet. So a flood on many
// connections does not delay the few bytes of another one.
//
// Output is pulled. A session only requests a flush. The loop calls Flush at the end of the event,
// and Flush alternates between Session::Fill and sendmsg() until the session has no more output or
// the socket is full. So one system call carries the answers of a whole burst, and a slow peer
// holds back little more than kFillBytes.
//
// After its last byte a connection lingers: it shuts down its sending side, and drops input until
// the peer closes. A close with unread input would make the kernel send a reset, and the peer could
// lose the answer. Asio's handlers hold `this`, so a closed connection is retired only when no
// operation is under way.
#include "net/socket/connection.h"

#include <linux/sockios.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include <algorithm>
#include <boost/asio/buffer.hpp>
#include <boost/asio/error.hpp>
#include <cstring>
#include <new>

#include "base/log.h"
#include "base/random.h"
#include "net/socket/tls.h"

namespace penstock::net {
namespace {

constexpr std::string_view kHttp2Preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
// The preface and most heads fit.
constexpr size_t kFirstPreviewBytes = 2048;
constexpr size_t kSlicesMax = 256;         // in one sendmsg
constexpr size_t kFillBytes = 512 * 1024;  // requested from a session at a time
// Limits for the reads of one connection in one event, so that the others get their turn.
constexpr size_t kReadBytesMax = 4 << 20;
constexpr Duration kReadTimeMax = std::chrono::milliseconds(10);
// If one piece of input takes longer than this, the next pieces are smaller. Bytes may inflate a
// thousandfold, so few bytes may mean much work.
constexpr Duration kPieceTimeMax = std::chrono::milliseconds(4);
constexpr size_t kPieceBytesMin = 4096;
// A finished connection waits this long for the peer to close. An immediate close would reset the
// connection, and the peer could lose the answer. kLingerTime counts from the last received byte,
// since a peer may still send the body of a refused request. kLingerTimeMax limits the whole wait.
constexpr Duration kLingerTime = std::chrono::seconds(2);
constexpr Duration kLingerTimeMax = std::chrono::seconds(30);
// A peer that sends more than this after the last byte is not sending the rest of a request.
constexpr uint64_t kLingerBytesMax = uint64_t{256} << 20;
// How long a draining connection waits for the rest of a head or of a TLS handshake. A client that
// means it sends a head at once, so this is some round trips.
constexpr Duration kHeadTimeOfDrain = std::chrono::seconds(1);

// The lives of connections differ by up to a tenth to both sides, so that those that begin together
// do not end together.
constexpr uint64_t kAgeParts = 1000, kAgePartsMin = 900, kAgePartsRange = 201;

using boost::system::error_code;

// Returns when a connection that begins now is old.
SteadyTime OldAt(const ServerState& server) {
  const Duration limit = server.options.connection_age_max;
  if (limit <= Duration::zero()) return kNoDeadline;
  const auto parts = static_cast<int64_t>(kAgePartsMin + RandomBits() % kAgePartsRange);
  return server.clock.Now() + limit / static_cast<int64_t>(kAgeParts) * parts;
}

}  // namespace

Connection::Connection(EventLoop& loop, int socket, const Endpoint& endpoint, std::string peer)
    : loop_(loop),
      // Asio ignores the family of an existing socket.
      socket_(loop.io(), boost::asio::generic::stream_protocol(AF_UNSPEC, 0), socket),
      endpoint_(endpoint),
      peer_(std::move(peer)),
      old_at_(OldAt(server())) {
  error_code ignored;
  socket_.native_non_blocking(true, ignored);
  if (endpoint.is_tls) tls_ = loop.tls()->NewFilter();
}

Connection::~Connection() {
  session_.reset();
  loop().ForgetFlush(*this);
}

void Connection::Start() { StartRead(); }

void Connection::StartRead() {
  if (reading_ || input_ended_ || closed_ || has_yielded_ || waits_for_turn_ ||
      (paused_ && !lingering_))
    return;
  reading_ = true;
  if (ReadsInPlace()) {
    return socket_.async_wait(boost::asio::socket_base::wait_read,
                              [this](const error_code& error) { OnFirstRead(error, 0); });
  }
  socket_.async_read_some(
      boost::asio::buffer(first_bytes_),
      [this](const error_code& error, size_t bytes) { OnFirstRead(error, bytes); });
}

void Connection::OnFirstRead(const error_code& error, size_t bytes) {
  reading_ = false;
  Read read = Read::kAll;
  if (closed_) {
    if (!HasOperation()) loop_.Retire(*this);
  } else if (error == boost::asio::error::eof) {
    OnEndOfInput();
  } else if (error && error != boost::asio::error::operation_aborted) {
    Close();
  } else if (!error) {
    loop().turn().Begin();
    read = ReadRest(bytes);
  }
  if (std::exchange(drain_awaits_read_, false) && !closed_) DrainNow();
  EndTurn(read);
  loop_.EndEvent();
}

void Connection::EndTurn(Read read) {
  loop().turn_end().Run();
  if (closed_) return;
  Flush();
  if (read == Read::kMore && !closed_ && !paused_ && !input_ended_) {
    WaitForTurn();
  } else {
    StartRead();
  }
}

void Connection::WaitForTurn() {
  if (std::exchange(waits_for_turn_, true)) return;
  loop_.ContinueLater(*this);
}

void Connection::Continue() {
  waits_for_turn_ = false;
  if (closed_) {
    if (!HasOperation()) loop_.Retire(*this);
    return;
  }
  loop().turn().Begin();
  UseKeptInput();
  Read read = reading_ || input_ended_ ? Read::kAll : Read::kMore;
  ReadMore(read);
  if (read == Read::kEnd && !closed_) OnEndOfInput();
  EndTurn(read);
}

void Connection::UseKeptInput() {
  if (!std::exchange(has_yielded_, false) || session_ == nullptr) return;
  HandleInput([](Session& session) { return session.Continue(); });
  if (tls_ != nullptr) Decrypt();
}

// True if the next bytes may be the beginning or a part of a big body. The first ones may be.
bool Connection::ReadsInPlace() const {
  if (tls_ != nullptr || lingering_ || close_after_flush_) return false;
  return session_ != nullptr ? session_->ReadsInPlace() : prefix_.empty();
}

size_t Connection::ShowNextBytes() {
  if (!ReadsInPlace()) return 0;
  const size_t wanted = session_ != nullptr ? session_->PreviewBytes() : kFirstPreviewBytes;
  if (wanted == 0) return 0;
  const std::span<std::byte> scratch = loop_.scratch().first(wanted);
  const ssize_t bytes =
      recv(socket_.native_handle(), scratch.data(), scratch.size(), MSG_PEEK | MSG_DONTWAIT);
  if (bytes <= 0) {
    if (bytes < 0) CloseIfBroken();
    return 0;  // Receive finds out that the peer has closed
  }
  const std::span<const std::byte> next = scratch.first(static_cast<size_t>(bytes));
  if (session_ == nullptr && !StartSession(next)) return 0;
  return session_->PreviewBytes() > 0 ? session_->Preview(next) : 0;
}

// Handles the `first_bytes` bytes that lie in first_bytes_, if any. If the buffer is full, there
// may be more to read.
Connection::Read Connection::ReadRest(size_t first_bytes) {
  received_any_ = true;
  server().metrics.bytes_received.Add(first_bytes);
  Read read = first_bytes == 0 || first_bytes == first_bytes_.size() ? Read::kMore : Read::kAll;
  if (first_bytes == first_bytes_.size()) {
    // Pass all bytes in one piece, so that the session sees the whole burst.
    const std::span<std::byte> scratch = loop_.scratch().first(piece_bytes_max_);
    std::memcpy(scratch.data(), first_bytes_.data(), first_bytes);
    const size_t more = Receive(scratch.subspan(first_bytes), read);
    OnWireBytes(scratch.first(first_bytes + more));
  } else if (first_bytes > 0) {
    OnWireBytes({first_bytes_.data(), first_bytes});
  }
  if (read == Read::kMore) ReadMore(read);
  if (read == Read::kEnd && !closed_) OnEndOfInput();
  return read;
}

void Connection::ReadMore(Read& read) {
  SteadyTime now = std::chrono::steady_clock::now();
  const SteadyTime until = now + kReadTimeMax;
  const auto may_read = [&] {
    return read == Read::kMore && !closed_ && !paused_ && !has_yielded_;
  };
  for (size_t total = 0; may_read() && total < kReadBytesMax;) {
    const size_t head_bytes = ShowNextBytes();
    if (closed_) break;
    std::span<std::byte> target;
    if (tls_ == nullptr && session_ != nullptr) target = session_->ReadTarget();
    if (target.empty())
      target = loop_.scratch().first(head_bytes > 0 ? head_bytes : piece_bytes_max_);
    const size_t bytes = Receive(target, read);
    if (bytes > 0) OnWireBytes(target.first(bytes));
    total += bytes;
    const Duration taken = std::chrono::steady_clock::now() - now;
    now += taken;
    piece_bytes_max_ = taken > kPieceTimeMax
                           ? std::max(kPieceBytesMin, piece_bytes_max_ / 4)
                           : std::min(loop_.scratch().size(), piece_bytes_max_ * 2);
    if (now >= until) break;
  }
}

// Reads without waiting.
size_t Connection::Receive(std::span<std::byte> to, Read& read) {
  const ssize_t bytes = recv(socket_.native_handle(), to.data(), to.size(), MSG_DONTWAIT);
  if (bytes <= 0) {
    read = bytes == 0 ? Read::kEnd : Read::kAll;
    if (bytes < 0) CloseIfBroken();
    return 0;
  }
  read = static_cast<size_t>(bytes) == to.size() ? Read::kMore : Read::kAll;
  server().metrics.bytes_received.Add(static_cast<uint64_t>(bytes));
  return static_cast<size_t>(bytes);
}

// The kernel tells an error once, so the next read would not see it.
void Connection::CloseIfBroken() {
  if (errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR) Close();
}

void Connection::OnEndOfInput() {
  if (input_ended_) return;
  input_ended_ = true;
  if (lingering_ || session_ == nullptr || !session_->OnEndOfInput()) Close();
}

void Connection::OnWireBytes(std::span<const std::byte> bytes) {
  if (lingering_) {  // no session is left to read it
    lingering_bytes_ += bytes.size();
    if (lingering_bytes_ > kLingerBytesMax) Close();
    return;
  }
  if (tls_ == nullptr) return OnPlainBytes(bytes);
  const std::string_view answer = tls_->was_fed() ? std::string_view() : AnswerToClearText(bytes);
  if (!answer.empty()) {
    server().metrics.tls_errors.Add();
    PENSTOCK_LOG(kDebug, "TLS with {} failed: the client speaks HTTP without TLS", peer_);
    tls_.reset();
    unsent_.AppendCopy(answer);
    return CloseAfterFlush();
  }
  tls_->Feed(bytes);
  Decrypt();
}

void Connection::Decrypt() {
  while (!closed_) {
    if (has_yielded_) return ScheduleFlush();
    std::span<std::byte> target;
    if (session_ != nullptr) target = session_->ReadTarget();
    if (target.empty()) target = loop_.scratch();
    size_t bytes = 0;
    const TlsFilter::Result result = tls_->Read(target, bytes);
    if (bytes > 0) OnPlainBytes(target.first(bytes));
    if (result == TlsFilter::Result::kMore) return ScheduleFlush();
    if (result == TlsFilter::Result::kEnd) return OnEndOfInput();
    if (result == TlsFilter::Result::kFailed) {
      server().metrics.tls_errors.Add();
      PENSTOCK_LOG(kDebug, "TLS with {} failed{}: {}", peer_,
                   tls_->is_established() ? "" : " in the handshake", tls_->failure());
      session_.reset();
      return CloseAfterFlush();  // a TLS alert may have to be sent
    }
  }
}

void Connection::OnPlainBytes(std::span<const std::byte> bytes) {
  if (closed_ || close_after_flush_) return;
  if (session_ == nullptr) return Detect(bytes);
  HandleInput([bytes](Session& session) { return session.OnBytes(bytes); });
}

template <typename Handle>
void Connection::HandleInput(Handle handle) {
  try {
    if (!handle(*session_)) CloseAfterFlush();
  } catch (const std::bad_alloc&) {  // Only this client fails. The others go on.
    PENSTOCK_LOG(kWarning, "a connection is closed: the system has no memory for its request");
    Close();
  }
}

void Connection::Detect(std::span<const std::byte> bytes) {
  prefix_.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  if (!StartSession(std::as_bytes(std::span(prefix_)))) return;
  const std::string first = std::exchange(prefix_, {});
  OnPlainBytes({reinterpret_cast<const std::byte*>(first.data()), first.size()});
}

bool Connection::StartSession(std::span<const std::byte> bytes) {
  const std::string_view alpn = tls_ != nullptr ? tls_->alpn() : std::string_view();
  const std::string_view first(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  const std::string_view compared = kHttp2Preface.substr(0, first.size());
  // A client with prior knowledge of HTTP/2 sends the preface. Only "PRI * ..." is ambiguous until
  // it is complete: no method of HTTP/1.1 begins with it, but the bytes may come one by one.
  const bool may_be_http2 = alpn.empty() && first.starts_with(compared);
  if (may_be_http2 && first.size() < kHttp2Preface.size()) return false;
  if (const access::AccessControl* const control = server().options.access; control != nullptr)
    callers_ = std::make_unique<access::CallerMemo>(
        *control, tls_ != nullptr ? tls_->client_names() : access::CertificateNames());
  session_ = may_be_http2 || alpn == "h2" ? MakeHttp2Session(*this) : MakeHttp1Session(*this);
  if (draining_) session_->StartDrain();
  return true;
}

void Connection::ScheduleFlush() {
  if (flush_scheduled_ || closed_) return;
  flush_scheduled_ = true;
  loop().ScheduleFlush(*this);
}

void Connection::ResumeReading() {
  if (!paused_) return;
  paused_ = false;
  StartRead();
}

void Connection::Yield() {
  has_yielded_ = true;
  WaitForTurn();
}

void Connection::CloseAfterFlush() {
  close_after_flush_ = true;
  ScheduleFlush();
}

void Connection::Flush() {
  flush_scheduled_ = false;
  if (closed_ || waiting_writable_) return;
  while (FillUnsent())
    if (!Send()) return;
  if (close_after_flush_ && !lingering_) Linger();
}

// Fetches the next output. Returns false if there is none.
bool Connection::FillUnsent() {
  if (!unsent_.empty()) return true;
  next_slice_ = sent_ = 0;
  const bool has_output = session_ != nullptr && session_->HasOutput();
  if (tls_ == nullptr) {
    if (has_output) session_->Fill(unsent_, kFillBytes);
  } else {
    ByteChain plain;
    if (has_output) session_->Fill(plain, kFillBytes);
    unsent_ = tls_->Encrypt(plain);
  }
  return !unsent_.empty();
}

bool Connection::Send() {
  const std::span<const Slice> slices = unsent_.slices().subspan(next_slice_);
  std::array<iovec, kSlicesMax> pieces;
  const size_t count = std::min(slices.size(), kSlicesMax);
  for (size_t i = 0; i < count; ++i) {
    const size_t skip = i == 0 ? sent_ : 0;
    pieces[i] = {const_cast<std::byte*>(slices[i].data + skip), slices[i].size - skip};
  }
  msghdr message = {};
  message.msg_iov = pieces.data();
  message.msg_iovlen = count;
  const int socket = socket_.native_handle();
  const ssize_t result =
      // send() is a little cheaper than sendmsg(), and most answers are one slice.
      count == 1 ? send(socket, pieces[0].iov_base, pieces[0].iov_len, MSG_NOSIGNAL | MSG_DONTWAIT)
                 : sendmsg(socket, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
  if (result < 0) {
    if (errno == EINTR) return true;
    if (errno == EAGAIN || errno == EWOULDBLOCK) {
      WaitWritable();
    } else {
      Close();
    }
    return false;
  }
  sent_any_ = true;
  server().metrics.bytes_sent.Add(static_cast<uint64_t>(result));
  sent_ += static_cast<size_t>(result);
  while (next_slice_ < unsent_.slices().size() && sent_ >= unsent_.slices()[next_slice_].size) {
    sent_ -= unsent_.slices()[next_slice_].size;
    // Free each slice as soon as it is sent. A big answer then gives its memory back piece by
    // piece.
    unsent_.mutable_slices()[next_slice_++].owner = {};
  }
  if (next_slice_ == unsent_.slices().size()) unsent_ = {};
  return true;
}

void Connection::WaitWritable() {
  waiting_writable_ = true;
  socket_.async_wait(boost::asio::socket_base::wait_write, [this](const error_code& error) {
    waiting_writable_ = false;
    if (closed_) {
      if (!HasOperation()) loop_.Retire(*this);
    } else if (error && error != boost::asio::error::operation_aborted) {
      Close();
    } else {
      Flush();
    }
    loop_.EndEvent();
  });
}

// True if the kernel holds bytes that the peer has not acknowledged. False on an error.
bool Connection::HasUnacknowledged() {
  int bytes = 0;
  return ioctl(socket_.native_handle(), SIOCOUTQ, &bytes) == 0 && bytes > 0;
}

// True if the peer waits for no answer: no request was open when the drain began, and none has come
// since. A draining server does not wait for clients that keep such connections open.
bool Connection::AwaitsNothing() const {
  return draining_ && (session_ == nullptr || session_->IsUnusedSinceDrain());
}

// Called when all output is sent. Closes the sending side, then waits until the peer closes.
void Connection::Linger() {
  if (tls_ != nullptr && tls_->StartClose()) return Flush();
  const bool awaits_nothing = AwaitsNothing();
  if (input_ended_ || (awaits_nothing && !owed_at_drain_)) return Close();
  lingering_ = true;
  closes_when_received_ = awaits_nothing || is_cut_off_;
  has_yielded_ = false;
  session_.reset();
  shutdown(socket_.native_handle(), SHUT_WR);
  StartRead();
}

void Connection::Close() {
  if (closed_) return;
  closed_ = true;
  // Keep the session, since it may be on the call stack. It is destroyed with the connection,
  // after the event.
  unsent_ = {};
  error_code ignored;
  socket_.close(ignored);
  if (!HasOperation()) loop_.Retire(*this);
}

void Connection::Abort() {
  session_.reset();
  if (!closed_) {
    closed_ = true;
    error_code ignored;
    socket_.close(ignored);
  }
}

void Connection::StartDrain() {
  if (closed_ || draining_ || drain_awaits_read_) return;
  if (!reading_) return DrainNow();
  // The read may be complete while its handler still waits to run. Cancel it, so that the handler
  // runs soon, with bytes or without. It then drains.
  drain_awaits_read_ = true;
  error_code ignored;
  socket_.cancel(ignored);
}

void Connection::DrainNow() {
  // Read what has arrived by now, so that these requests are answered.
  Read read = input_ended_ || lingering_ ? Read::kAll : Read::kMore;
  ReadMore(read);
  if (read == Read::kEnd) OnEndOfInput();
  if (closed_) return;
  draining_ = true;
  draining_since_ = server().clock.Now();
  owed_at_drain_ = close_after_flush_ || !unsent_.empty() || HasUnacknowledged();
  if (session_ != nullptr) {
    session_->StartDrain();
  } else if (prefix_.empty()) {
    CloseAfterFlush();
  }
  Flush();
}

void Connection::CutOff(CutCalls& cut) {
  if (closed_) return;
  is_cut_off_ = closes_when_received_ = true;
  if (session_ != nullptr) CutOffSession(kServerShutDown, cut);
}

void Connection::CutOffSession(std::string_view why, CutCalls& cut) {
  session_->CutOff(why, cut);
  ScheduleFlush();
}

void Connection::OnOldAge(SteadyTime now) {
  const Duration grace = server().options.connection_age_grace;
  old_at_ = is_old_ || grace <= Duration::zero() ? kNoDeadline : now + grace;
  if (std::exchange(is_old_, true)) {
    CutCalls ignored;
    return CutOffSession("the connection has passed max_connection_age_grace_ms", ignored);
  }
  session_->AskToReconnect();
  ScheduleFlush();
}

bool Connection::HasOnlyBegunHead() const {
  if (session_ != nullptr) return session_->HasOnlyBegunHead() && unsent_.empty();
  return !prefix_.empty() || (tls_ != nullptr && !tls_->is_established());
}

void Connection::OnTick(SteadyTime now) {
  if (closed_) return;
  if (std::exchange(received_any_, false) || last_received_ == kNoDeadline) last_received_ = now;
  if (std::exchange(sent_any_, false) || !waiting_writable_) last_sent_ = now;
  if (!CheckTimeouts(now)) return Close();
  // Anybody can begin a head. It must not hold up the end of the server as a request does.
  if (draining_ && !lingering_ && now - draining_since_ >= kHeadTimeOfDrain && HasOnlyBegunHead()) {
    CutCalls none;
    if (session_ != nullptr) session_->CutOff(kServerShutDown, none);
    Flush();
    return Close();
  }
  if (now >= old_at_ && session_ != nullptr && !draining_ && !close_after_flush_) OnOldAge(now);
  // The connection came after the drain began. It has had one tick to send something.
  if (server().is_draining() && !draining_) StartDrain();
}

bool Connection::CheckTimeouts(SteadyTime now) {
  const ServerOptions& options = server().options;
  const auto passed = [&](SteadyTime since, Duration limit) {
    return limit > Duration::zero() && now - since >= limit;
  };
  if (lingering_) {
    if (closes_when_received_ && !HasUnacknowledged()) return false;
    if (lingering_since_ == kNoDeadline) lingering_since_ = now;
    return now - std::max(lingering_since_, last_received_) < kLingerTime &&
           now - lingering_since_ < kLingerTimeMax;
  }
  if (waiting_writable_ && passed(last_sent_, options.write_timeout)) {
    server().metrics.limit_timeouts.Add();
    return false;
  }
  if (session_ != nullptr) {
    if (!session_->OnTick(now)) return false;
    if (close_after_flush_) return true;  // an answer may still wait to be sent
    const bool is_idle = session_->IsIdle() && unsent_.empty();
    return !is_idle || !passed(last_received_, options.idle_timeout);
  }
  // Limit the time for a TLS handshake and for the first bytes of a protocol.
  const bool has_begun = !prefix_.empty() || (tls_ != nullptr && !tls_->is_established());
  if (!has_begun) return !passed(last_received_, options.idle_timeout);
  if (busy_since_ == kNoDeadline) busy_since_ = now;
  if (!passed(busy_since_, options.header_timeout)) return true;
  server().metrics.limit_timeouts.Add();
  return false;
}

}  // namespace penstock::net
