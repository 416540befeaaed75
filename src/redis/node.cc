// SPDX-License-Identifier: Apache-2.0
#include "redis/node.h"

#include <algorithm>
#include <array>
#include <boost/asio/ip/address.hpp>
#include <utility>

namespace penstock::redis {
namespace {

using boost::asio::socket_base;
using boost::asio::ip::tcp;

// Input that one event takes from a node, before the others get their turn.
constexpr int kReadsInARow = 8;
constexpr int kBackoffMax = 8;
// Output that was sent is dropped when there is so much of it, and less is left.
constexpr size_t kSentBytesMax = 1 << 20;
// Longer than the connection takes, and than the map that names the node.
constexpr Duration kKeptAfterRedirect = std::chrono::seconds(10);
constexpr std::string_view kAsking = "*1\r\n$6\r\nASKING\r\n";

}  // namespace

Node::Node(boost::asio::io_context& io, SSL_CTX* tls, const ClusterOptions& options,
           Address address, NodeOwner& owner)
    : options_(options),
      address_(std::move(address)),
      owner_(owner),
      connection_(io, tls),
      resolver_(io),
      reader_(options.bulk_bytes_max),
      retry_after_(options.retry_after),
      silence_max_(options.silence_max) {}

void Node::Connect() {
  const SteadyTime now = owner_.now();
  if (is_ready() || is_connecting() || (state_ == State::kDown && now < retry_at_)) return;
  since_ = now;
  ++epoch_;
  boost::system::error_code error;
  const auto number = boost::asio::ip::make_address(address_.host, error);
  if (!error) {
    endpoints_ = {{number, address_.port}};
    return OpenNext();
  }
  state_ = State::kResolving;
  resolver_.async_resolve(address_.host, std::to_string(address_.port),
                          [this, epoch = epoch_](const boost::system::error_code& failure,
                                                 const tcp::resolver::results_type& results) {
                            if (epoch == epoch_) OnResolved(failure, results);
                            owner_.EndEvent();
                          });
}

void Node::OnResolved(const boost::system::error_code& error,
                      const tcp::resolver::results_type& results) {
  if (error || results.empty())
    return Fail(Error(StatusCode::kUnavailable, "its name is not known: {}", error.message()));
  endpoints_.clear();
  for (const auto& entry : results) endpoints_.push_back(entry.endpoint());
  since_ = owner_.now();
  OpenNext();
}

void Node::OpenNext() {
  state_ = State::kConnecting;
  // Each attempt takes another address of the name.
  const tcp::endpoint& endpoint = endpoints_[next_endpoint_++ % endpoints_.size()];
  if (Status status = connection_.Open(endpoint, address_.host); !status.ok())
    return Fail(std::move(status));
  waits_to_write_ = false;
  WaitToWrite();
}

void Node::WaitToWrite() {
  if (std::exchange(waits_to_write_, true)) return;
  connection_.socket().async_wait(socket_base::wait_write,
                                  [this, epoch = epoch_](const boost::system::error_code& error) {
                                    if (epoch != epoch_ || error) return;
                                    waits_to_write_ = false;
                                    if (state_ == State::kConnecting) {
                                      ContinueConnect();
                                    } else {
                                      if (TakeInput()) Flush();
                                    }
                                    owner_.EndEvent();
                                  });
}

void Node::ContinueConnect() {
  const StatusOr<Connection::Progress> progress = connection_.Continue();
  if (!progress.ok()) return Fail(progress.status());
  if (*progress == Connection::Progress::kWaitToWrite) return WaitToWrite();
  if (*progress == Connection::Progress::kWaitToRead) return WaitToRead();
  Greet();
}

// Replicas answer reads only after READONLY; masters ignore it.
void Node::Greet() {
  state_ = State::kGreeting;
  reader_.Clear();
  output_.clear();
  written_ = 0;
  greetings_left_ = 1;
  if (!options_.password.empty()) {
    greetings_left_ = 2;
    std::vector<std::string_view> arguments = {"AUTH"};
    if (!options_.user.empty()) arguments.push_back(options_.user);
    arguments.push_back(options_.password);
    output_ += MakeCommand(arguments);
  }
  output_ += MakeCommand(std::array<std::string_view, 1>{"READONLY"});
  const uint64_t epoch = epoch_;
  Flush();
  if (epoch == epoch_ && state_ == State::kGreeting) WaitToRead();
}

void Node::WaitToRead() {
  connection_.socket().async_wait(socket_base::wait_read,
                                  [this, epoch = epoch_](const boost::system::error_code& error) {
                                    if (epoch != epoch_ || error) return;
                                    OnReadable();
                                    owner_.EndEvent();
                                  });
}

void Node::OnReadable() {
  if (state_ == State::kConnecting) return ContinueConnect();
  if (TakeInput()) WaitToRead();
}

bool Node::TakeInput() {
  const uint64_t epoch = epoch_;
  for (int i = 0; i < kReadsInARow; ++i) {
    const std::span<char> space = reader_.Space();
    const StatusOr<size_t> read = connection_.Read(space);
    if (!read.ok()) {
      Fail(read.status());
      return false;
    }
    if (*read == 0) return true;
    last_input_ = owner_.now();
    is_stalled_ = false;
    reader_.Added(*read);
    Token token;
    RespReader::Result result;
    while ((result = reader_.Next(token)) == RespReader::Result::kToken) {
      if (!TakeToken(token) || epoch != epoch_) return false;
    }
    if (result == RespReader::Result::kBroken) {
      Fail(Error(StatusCode::kUnavailable, "it sends what is no RESP: {}", reader_.problem()));
      return false;
    }
    // A short read has emptied the socket. TLS has its own buffer, so it is asked again.
    if (*read < space.size() && !options_.tls.enabled) return true;
  }
  // The rest of the input wakes it again; what TLS holds back would not.
  if (options_.tls.enabled) WaitToWrite();
  return true;
}

bool Node::TakeToken(const Token& token) {
  if (state_ == State::kGreeting) return TakeGreeting(token);
  if (flights_.empty()) {
    Fail(Error(StatusCode::kUnavailable, "it sends an answer to no command"));
    return false;
  }
  Flight& flight = flights_.front();
  if (flight.batch == nullptr) {
    TakeCommandToken(flight, token);
  } else {
    TakeReadToken(flight, token);
  }
  return true;
}

bool Node::TakeGreeting(const Token& token) {
  if (token.kind != TokenKind::kSimple) {
    Fail(Error(StatusCode::kUnavailable, "it refuses the connection: {}",
               token.kind == TokenKind::kError ? token.text : "an answer has the wrong type"));
    return false;
  }
  if (--greetings_left_ > 0) return true;
  state_ = State::kReady;
  retry_after_ = options_.retry_after;
  owner_.OnReady(*this);
  return true;
}

void Node::TakeCommandToken(Flight& flight, const Token& token) {
  if (flight.is_good) flight.is_good = flight.value.Add(token);
  if (!reader_.answer_has_ended()) return;
  Flight ended = std::move(flight);
  flights_.pop_front();
  Value value = ended.value.Take();
  if (!ended.is_good) {
    ended.done(Error(StatusCode::kUnavailable, "{}: the answer is too long", address_.ToString()));
  } else if (value.kind == TokenKind::kError) {
    ended.done(Error(StatusCode::kFailedPrecondition, "{}", value.text));
  } else {
    ended.done(std::move(value));
  }
}

void Node::TakeReadToken(Flight& flight, const Token& token) {
  if (flight.asks && !flight.has_asked) {
    // If it was refused, the read is, too.
    if (reader_.answer_has_ended()) flight.has_asked = true;
    return;
  }
  const uint32_t read = flight.reads[flight.next];
  std::string_view error;
  if (flight.index == 0 && token.kind == TokenKind::kError) {
    error = token.text;
    flight.is_good = false;
  } else if (flight.is_good && !flight.batch->is_closed_ && !flight.batch->reads[read].is_done) {
    flight.is_good = flight.batch->Take(read, flight.index, token);
  }
  ++flight.index;
  if (!reader_.answer_has_ended()) return;
  owner_.OnAnswer(*this, flight, read, error);
  flight.index = 0;
  flight.is_good = true;
  flight.has_asked = false;
  if (++flight.next < flight.reads.size()) return;
  silence_max_ = options_.silence_max;
  const Flight ended = std::move(flight);
  flights_.pop_front();
  owner_.OnFlightEnd(*this, ended);
}

void Node::Send(Flight flight) {
  const std::string& commands = flight.batch->commands;
  for (size_t i = 0; i < flight.reads.size();) {
    if (flight.asks) output_ += kAsking;
    const Read& first = flight.batch->reads[flight.reads[i]];
    size_t end = first.begin + first.bytes;
    // Commands that lie one behind the other are copied together.
    for (++i; !flight.asks && i < flight.reads.size(); ++i) {
      const Read& read = flight.batch->reads[flight.reads[i]];
      if (read.begin != end) break;
      end += read.bytes;
    }
    output_.append(commands, first.begin, end - first.begin);
  }
  flight.sent = owner_.now();
  flights_.push_back(std::move(flight));
  owner_.ScheduleFlush(*this);
}

void Node::SendCommand(std::string_view command, ValueCallback done) {
  Flight flight;
  flight.done = std::move(done);
  flight.sent = owner_.now();
  output_ += command;
  flights_.push_back(std::move(flight));
  owner_.ScheduleFlush(*this);
}

void Node::Flush() {
  if (state_ != State::kReady && state_ != State::kGreeting) return;
  while (written_ < output_.size()) {
    const StatusOr<size_t> written = connection_.Write(std::string_view(output_).substr(written_));
    if (!written.ok()) return Fail(written.status());
    if (*written == 0) {
      // Batches that come while others are on their way would make it grow for ever.
      if (written_ >= std::max(kSentBytesMax, output_.size() - written_))
        output_.erase(0, std::exchange(written_, 0));
      return WaitToWrite();
    }
    written_ += *written;
  }
  output_.clear();
  written_ = 0;
}

bool Node::IsNeeded(SteadyTime now) const {
  return is_wanted || (redirected_at_ && now - *redirected_at_ < kKeptAfterRedirect);
}

void Node::OnTick() {
  const SteadyTime now = owner_.now();
  if (is_connecting()) {
    // A name may take longer than a connection.
    const int factor = state_ == State::kResolving ? 20 : 1;
    if (now - since_ > factor * options_.connect_timeout)
      Fail(Error(
          StatusCode::kUnavailable, "it does not answer within {} ms",
          factor * std::chrono::duration_cast<std::chrono::milliseconds>(options_.connect_timeout)
                       .count()));
    return;
  }
  if ((state_ == State::kDown && now >= retry_at_) || state_ == State::kIdle) {
    if (IsNeeded(now)) Connect();
    return;
  }
  if (state_ != State::kReady) return;
  if (flights_.empty()) {
    is_stalled_ = false;
    if (!IsNeeded(now)) Disconnect();
    return;
  }
  const Duration silence = now - std::max(flights_.front().sent, last_input_);
  if (silence > silence_max_) {
    // If the machine is slow, the same would happen again and again.
    silence_max_ = std::min(silence_max_ * 2, options_.silence_max * kBackoffMax);
    return Fail(Error(StatusCode::kUnavailable, "it has sent nothing for {} ms",
                      std::chrono::duration_cast<std::chrono::milliseconds>(silence).count()));
  }
  if (silence > options_.stall_time) is_stalled_ = true;
}

void Node::Disconnect() {
  ++epoch_;
  resolver_.cancel();
  connection_.Close();
  reader_.Clear();
  output_.clear();
  written_ = 0;
  waits_to_write_ = false;
  is_stalled_ = false;
  state_ = State::kIdle;
}

void Node::Fail(Status reason) {
  if (state_ == State::kDown) return;
  Disconnect();
  state_ = State::kDown;
  retry_at_ = owner_.now() + retry_after_;
  retry_after_ = std::min(2 * retry_after_, kBackoffMax * options_.retry_after);
  last_problem = Error(reason.code(), "{}: {}", address_.ToString(), MessageOf(reason));
  std::deque<Flight> flights = std::move(flights_);
  flights_.clear();
  owner_.OnLost(*this, std::move(flights));
}

}  // namespace penstock::redis
