// SPDX-License-Identifier: Apache-2.0
// How it works. Connect looks the name up, which Asio does on a thread of its own, and tries the
// addresses one after the other, all within one time limit. The limit ends only when the server's
// first SETTINGS are there: the kernel of a stopped process still accepts connections.
//
// A server that has died without a word is noticed by a ping. Servers of gRPC end connections that
// send pings while they hear no HEADERS or DATA, with the third one within five minutes. So after
// kPingsInARow pings without such frames the pings become rare.
#include "net/client/connection.h"

#include <fmt/format.h>
#include <sys/socket.h>

#include <algorithm>
#include <boost/asio/connect.hpp>
#include <cerrno>
#include <utility>

namespace penstock::net {
namespace {

constexpr int kPingsInARow = 2;
constexpr Duration kRarePings = std::chrono::minutes(5);
// How much is read, and written, before other connections have their turn.
constexpr size_t kTurnBytes = 1 << 20;
constexpr size_t kFillBytes = 256 << 10;
constexpr size_t kSlicesMax = 64;

using boost::system::error_code;

std::string WithPort(const std::string& host, uint16_t port) {
  return host.find(':') == std::string::npos ? fmt::format("{}:{}", host, port)
                                             : fmt::format("[{}]:{}", host, port);
}

}  // namespace

std::string ChannelOptions::Address() const { return WithPort(host, port); }

std::string ChannelOptions::Authority() const { return WithPort(name.empty() ? host : name, port); }

ClientConnection::ClientConnection(IoLoop& loop, const ChannelOptions& options,
                                   ConnectionOwner& owner)
    : loop_(loop),
      options_(options),
      owner_(&owner),
      session_(*this,
               {.authority = options.Authority(),
                .is_secure = options.tls != nullptr,
                .stream_window_bytes = options.stream_window_bytes,
                .connection_window_bytes = options.connection_window_bytes},
               loop.clock()),
      resolver_(loop.io()),
      socket_(loop.io()) {}

ClientConnection::~ClientConnection() {
  if (is_flush_scheduled_) loop_.ForgetFlush(*this);
}

// --- connecting

void ClientConnection::Connect() {
  loop_.timers().Arm(*this, loop_.clock().Now() + options_.connect_timeout);
  resolver_.async_resolve(
      options_.host, std::to_string(options_.port), boost::asio::ip::resolver_base::numeric_service,
      [self = shared_from_this()](const error_code& error, Endpoints endpoints) {
        if (!self->is_closed_) {
          if (error) {
            self->Fail(Error(StatusCode::kUnavailable, "the name '{}' cannot be looked up: {}",
                             self->options_.host, error.message()));
          } else {
            self->ConnectTo(endpoints, endpoints.begin(), "it has no address");
          }
        }
        self->loop_.EndEvent();
      });
}

void ClientConnection::ConnectTo(Endpoints endpoints, Endpoints::const_iterator next,
                                 const std::string& last_error) {
  if (next == endpoints.end())
    return Fail(Error(StatusCode::kUnavailable, "cannot connect to {}: {}", options_.Address(),
                      last_error));
  error_code ignored;
  socket_.close(ignored);
  socket_.async_connect(next->endpoint(), [self = shared_from_this(), endpoints,
                                           next](const error_code& error) mutable {
    if (!self->is_closed_) {
      if (error) {
        self->ConnectTo(endpoints, std::next(next), error.message());
      } else {
        self->OnConnected();
      }
    }
    self->loop_.EndEvent();
  });
}

void ClientConnection::OnConnected() {
  is_connected_ = true;
  error_code ignored;
  socket_.set_option(boost::asio::ip::tcp::no_delay(true), ignored);
  socket_.non_blocking(true, ignored);
  if (options_.tls != nullptr) {
    auto tls = MakeClientTls(*options_.tls, options_.name.empty() ? options_.host : options_.name);
    if (!tls.ok()) return Fail(tls.status());
    tls_ = *std::move(tls);
  }
  ScheduleFlush();
  StartRead();
}

// --- in

void ClientConnection::StartRead() {
  socket_.async_read_some(boost::asio::buffer(input_),
                          [self = shared_from_this()](const error_code& error, size_t bytes) {
                            const SteadyTime now = self->loop_.BeginInput();
                            if (!self->is_closed_) self->OnRead(error, bytes, now);
                            self->loop_.EndEvent();
                          });
}

void ClientConnection::OnRead(const error_code& error, size_t bytes, SteadyTime now) {
  if (error)
    return Fail(
        Error(StatusCode::kUnavailable, "the connection to {} broke: {}", options_.Address(),
              error == boost::asio::error::eof ? "the server has closed it" : error.message()));
  last_received_ = now;
  size_t sum = bytes;
  while (OnWireBytes({input_.data(), bytes})) {
    // A short read has emptied the socket.
    if (bytes < input_.size() || sum >= kTurnBytes) return StartRead();
    const ssize_t more = recv(socket_.native_handle(), input_.data(), input_.size(), 0);
    // The next read reports an error, or the end.
    if (more <= 0) return StartRead();
    bytes = static_cast<size_t>(more);
    sum += bytes;
  }
}

bool ClientConnection::OnWireBytes(std::span<const std::byte> bytes) {
  if (tls_ == nullptr) return OnPlainBytes(bytes);
  tls_->Feed(bytes);
  std::array<std::byte, 16 * 1024> plain;
  for (;;) {
    size_t size = 0;
    const TlsFilter::Result result = tls_->Read(plain, size);
    ScheduleFlush();  // the handshake has output of its own
    if (result == TlsFilter::Result::kMore) return true;
    if (result == TlsFilter::Result::kEnd) {
      Fail(Error(StatusCode::kUnavailable, "the connection to {} broke: the server has closed it",
                 options_.Address()));
      return false;
    }
    if (result == TlsFilter::Result::kFailed) {
      Fail(Error(StatusCode::kUnavailable, "the TLS connection to {} failed: {}",
                 options_.Address(), tls_->failure()));
      return false;
    }
    if (!OnPlainBytes({plain.data(), size})) return false;
  }
}

bool ClientConnection::OnPlainBytes(std::span<const std::byte> bytes) {
  if (tls_ != nullptr && !is_ready_ && tls_->alpn() != "h2") {
    Fail(Error(StatusCode::kUnavailable, "{} does not speak HTTP/2 on its TLS port",
               options_.Address()));
    return false;
  }
  if (Status status = session_.OnBytes(bytes); !status.ok()) {
    Fail(Error(StatusCode::kUnavailable, "the connection to {} failed: {}", options_.Address(),
               MessageOf(status)));
    return false;
  }
  if (is_closed_) return false;
  if (!is_ready_ && session_.is_ready()) {
    is_ready_ = true;
    ArmKeepAlive();
    owner_->OnReady(*this);
  }
  if (!session_.is_open()) CloseIfDone();
  return !is_closed_;
}

// --- out

void ClientConnection::Start(ClientCall& call) {
  if (session_.call_count() == 0) {
    call_since_ = loop_.clock().Now();
    session_.Start(call);
    return ArmKeepAlive();
  }
  session_.Start(call);
}

void ClientConnection::ScheduleFlush() {
  if (is_flush_scheduled_ || waits_writable_ || is_closed_) return;
  is_flush_scheduled_ = true;
  loop_.ScheduleFlush(*this);
}

void ClientConnection::Flush() {
  is_flush_scheduled_ = false;
  if (is_closed_ || !is_connected_) return;
  const auto self = shared_from_this();
  while (FillUnsent()) {
    if (!Send()) return;
  }
}

bool ClientConnection::FillUnsent() {
  if (next_slice_ < unsent_.slices().size()) return true;
  unsent_ = {};
  next_slice_ = sent_ = 0;
  ByteChain plain;
  if (tls_ == nullptr || tls_->is_established()) session_.Fill(plain, kFillBytes);
  if (is_closed_) return false;
  if (Status status = session_.CheckServer(); !status.ok()) {
    Fail(Error(StatusCode::kUnavailable, "the connection to {} failed: {}", options_.Address(),
               MessageOf(status)));
    return false;
  }
  unsent_ = tls_ == nullptr ? std::move(plain) : tls_->Encrypt(plain);
  return !unsent_.empty();
}

bool ClientConnection::Send() {
  const std::span<Slice> slices = unsent_.mutable_slices().subspan(next_slice_);
  std::array<iovec, kSlicesMax> parts;
  msghdr message{};
  message.msg_iov = parts.data();
  for (const Slice& slice : slices.first(std::min(slices.size(), kSlicesMax))) {
    const size_t skipped = message.msg_iovlen == 0 ? sent_ : 0;
    parts[message.msg_iovlen++] = {const_cast<std::byte*>(slice.data) + skipped,
                                   slice.size - skipped};
  }
  const ssize_t result = sendmsg(socket_.native_handle(), &message, MSG_NOSIGNAL);
  if (result < 0) {
    if (errno == EINTR) return true;
    if (errno == EAGAIN) {
      waits_writable_ = true;
      socket_.async_wait(boost::asio::ip::tcp::socket::wait_write,
                         [self = shared_from_this()](const error_code&) {
                           self->waits_writable_ = false;
                           if (!self->is_closed_) self->Flush();
                           self->loop_.EndEvent();
                         });
      return false;
    }
    // The read operation reports it, with what the server has still said.
    return false;
  }
  size_t left = static_cast<size_t>(result);
  while (left > 0) {
    Slice& slice = unsent_.mutable_slices()[next_slice_];
    const size_t size = std::min(left, slice.size - sent_);
    left -= size;
    sent_ += size;
    if (sent_ < slice.size) break;
    slice.owner = {};
    sent_ = 0;
    ++next_slice_;
  }
  return true;
}

// --- the end

void ClientConnection::Close(std::string_view reason) {
  if (is_closed_) return;
  const auto self = shared_from_this();
  is_closed_ = true;
  Disarm();
  resolver_.cancel();
  error_code ignored;
  socket_.close(ignored);
  session_.Fail(reason);
}

void ClientConnection::Fail(const Status& reason) {
  if (is_closed_) return;
  const auto self = shared_from_this();
  Close(MessageOf(reason));
  owner_->OnClosed(*this, reason);
}

void ClientConnection::CloseIfDone() {
  if (session_.call_count() == 0)
    Fail(Error(StatusCode::kUnavailable, "the server {} goes away", options_.Address()));
}

void ClientConnection::ArmKeepAlive() {
  if (is_closed_ || !is_ready_) return;
  if (session_.pings_open() > 0) {
    loop_.timers().Arm(*this, last_ping_ + options_.keepalive_timeout);
    return;
  }
  if (session_.call_count() == 0) return Disarm();
  if (session_.frames_received() != frames_at_ping_) pings_without_frames_ = 0;
  SteadyTime next = std::max(last_received_, call_since_) + options_.keepalive_time;
  if (pings_without_frames_ >= kPingsInARow) next = std::max(next, last_ping_ + kRarePings);
  loop_.timers().Arm(*this, next);
}

void ClientConnection::OnTimer() {
  const SteadyTime now = loop_.clock().Now();
  if (!is_ready_)
    return Fail(
        Error(StatusCode::kUnavailable, "{} does not answer within {} ms", options_.Address(),
              std::chrono::ceil<std::chrono::milliseconds>(options_.connect_timeout).count()));
  if (session_.pings_open() > 0 && now >= last_ping_ + options_.keepalive_timeout)
    return Fail(Error(
        StatusCode::kUnavailable, "{} does not answer a ping within {} ms", options_.Address(),
        std::chrono::ceil<std::chrono::milliseconds>(options_.keepalive_timeout).count()));
  const bool is_silent = now >= std::max(last_received_, call_since_) + options_.keepalive_time &&
                         (pings_without_frames_ < kPingsInARow || now >= last_ping_ + kRarePings ||
                          session_.frames_received() != frames_at_ping_);
  if (session_.pings_open() == 0 && session_.call_count() > 0 && is_silent) {
    pings_without_frames_ =
        session_.frames_received() == frames_at_ping_ ? pings_without_frames_ + 1 : 1;
    frames_at_ping_ = session_.frames_received();
    last_ping_ = now;
    session_.Ping();
  }
  ArmKeepAlive();
}

}  // namespace penstock::net
