// SPDX-License-Identifier: Apache-2.0
// Each request runs Asio coroutines on an io_context of its own connection, in the calling thread.
// Connection::Run runs them in short slices. Between two slices it checks for a cancel and for
// progress, so that neither a silent nor a very slow server can hold the thread. A name cannot be
// resolved in slices, so a detached thread resolves it, and the caller polls for the result. If a
// connection from an earlier request fails before the first byte of the answer, the server has
// probably closed it in the meantime, and the request is sent again on a new one.
#include "s3/http_client.h"

#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/connect.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/address.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/ssl.hpp>
#include <boost/asio/ssl/error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http.hpp>
#include <exception>
#include <memory>
#include <optional>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"

namespace penstock {
namespace {

namespace asio = boost::asio;
namespace http = boost::beast::http;
using asio::use_awaitable;
using asio::ip::tcp;

// Its body is the caller's, and is not copied.
using HttpRequest = http::request<http::span_body<const char>>;

constexpr size_t kPieceBytes = 256 * 1024;
constexpr uint32_t kHeadBytesMax = 64 * 1024;
constexpr size_t kBufferBytesMax = 128 * 1024;  // limit of a head, or of a line between chunks
constexpr size_t kSlowBytes = 16 * 1024;  // fewer bytes in the stall time count as no progress
constexpr Duration kResolveSlice = std::chrono::milliseconds(2);

// Advice for the reason why a certificate was refused. `ca_variable`: as in HttpEndpoint.
std::string CertificateAdvice(long reason, std::string_view ca_variable) {
  switch (reason) {
    case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
    case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
    case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
      return fmt::format("; set {} to a PEM file with the authority that signed it", ca_variable);
    case X509_V_ERR_HOSTNAME_MISMATCH:
    case X509_V_ERR_IP_ADDRESS_MISMATCH:
      return "; the certificate is for another host: the URL needs a name that stands in it";
    case X509_V_ERR_CERT_HAS_EXPIRED:
    case X509_V_ERR_CERT_NOT_YET_VALID:
      return "; renew the certificate, or set the clock of this machine";
    default:
      return "";
  }
}

bool IsAddress(const std::string& host) {
  boost::system::error_code error;
  asio::ip::make_address(host, error);
  return !error;
}

// The addresses of a host. The resolving thread sets `is_done` last; read the other members only
// after that.
struct Resolution {
  std::atomic<bool> is_done = false;
  boost::system::error_code error;
  std::vector<tcp::endpoint> addresses;
};

// Resolves on a detached thread: if the name servers do not answer, it takes half a minute, and
// nobody should wait for that.
void Resolve(const HttpEndpoint& endpoint, const std::shared_ptr<Resolution>& resolution) {
  const auto resolve = [resolution, host = endpoint.host, port = endpoint.port] {
    asio::io_context io;
    tcp::resolver resolver(io);
    for (const auto& entry : resolver.resolve(host, port, resolution->error)) {
      resolution->addresses.push_back(entry.endpoint());
    }
    resolution->is_done = true;
  };
  if (IsAddress(endpoint.host)) return resolve();  // returns at once
  try {
    std::thread(resolve).detach();
  } catch (const std::system_error&) {
    resolution->error = make_error_code(boost::system::errc::resource_unavailable_try_again);
    resolution->is_done = true;
  }
}

}  // namespace

std::string HttpEndpoint::Authority() const {
  const std::string name = host.find(':') == std::string::npos ? host : "[" + host + "]";
  return port == (tls ? "443" : "80") ? name : name + ":" + port;
}

std::string_view HttpHead::Header(const std::string& name) const {
  const auto found = headers.find(name);
  return found == headers.end() ? std::string_view() : found->second;
}

// One connection. Its functions throw boost::system::system_error.
class HttpClient::Connection final {
 public:
  Connection(const HttpEndpoint& endpoint, SteadyTime end)
      : endpoint_(endpoint), end_(end), socket_(io_) {}

  // Runs `work` until it is done. Rethrows its exceptions. Returns an error if it is cancelled,
  // makes no progress for too long, or is not done at the end of its time.
  Status Run(asio::awaitable<void> work, Duration stall_timeout,
             const std::atomic<bool>& is_cancelled) {
    // If this returns an error, the coroutine is still suspended, and refers to variables of the
    // caller. The caller must destroy the connection before they go.
    std::optional<std::exception_ptr> result;
    progress_ = Clock::Real().Now();
    asio::co_spawn(io_, std::move(work), [&](std::exception_ptr error) { result = error; });
    // The context stopped when the work of the last request ran out.
    io_.restart();
    while (!result) {
      io_.run_one_for(kCancelSlice);
      if (is_cancelled) return absl::CancelledError("the request was cancelled");
      if (!result && Clock::Real().Now() > end_) {
        return Error(StatusCode::kDeadlineExceeded, "{}'s answer is not complete in time",
                     endpoint_.Authority());
      }
      if (!result && Clock::Real().Now() - progress_ > stall_timeout) {
        return Error(StatusCode::kDeadlineExceeded, "{} has sent {} for {} s",
                     endpoint_.Authority(), has_answer_ ? "next to nothing" : "nothing",
                     std::chrono::duration_cast<std::chrono::seconds>(stall_timeout).count());
      }
    }
    if (*result) std::rethrow_exception(*result);
    return OkStatus();
  }

  asio::awaitable<void> Connect() {
    const auto resolution = std::make_shared<Resolution>();
    Resolve(endpoint_, resolution);
    asio::steady_timer timer(io_);
    while (!resolution->is_done) {
      timer.expires_after(kResolveSlice);
      co_await timer.async_wait(use_awaitable);
    }
    if (resolution->error) throw boost::system::system_error(resolution->error);
    co_await asio::async_connect(socket_, resolution->addresses, use_awaitable);
    // A request is one small write, and its answer is awaited. To collect more bytes would only
    // delay it.
    socket_.set_option(tcp::no_delay(true));
    if (!endpoint_.tls) co_return;
    SetUpTls();
    co_await tls_->async_handshake(asio::ssl::stream_base::client, use_awaitable);
  }

  asio::awaitable<void> Exchange(const HttpRequest& request, const HttpSink& sink, HttpHead& head,
                                 Status& status) {
    if (tls_) {
      co_await ExchangeOver(*tls_, request, sink, head, status);
    } else {
      co_await ExchangeOver(socket_, request, sink, head, status);
    }
  }

  // Explains a TLS error, and gives advice; empty if nothing is known.
  std::string TlsReason(const boost::system::error_code& error) {
    if (!tls_ || error.category() != asio::error::get_ssl_category()) return "";
    const long reason = SSL_get_verify_result(tls_->native_handle());
    if (endpoint_.verifies_certificate && reason != X509_V_OK) {
      return fmt::format(": {}{}", X509_verify_cert_error_string(reason),
                         CertificateAdvice(reason, endpoint_.ca_variable));
    }
    const bool is_plain = ERR_GET_REASON(error.value()) == SSL_R_WRONG_VERSION_NUMBER ||
                          ERR_GET_REASON(error.value()) == SSL_R_HTTP_REQUEST;
    return is_plain ? "; it does not speak TLS there: should the URL begin with http://?" : "";
  }

  // Valid after an Exchange without an error.
  bool keeps_alive() const { return keeps_alive_; }
  // True once any byte of the answer has arrived.
  bool has_answer() const { return has_answer_; }

 private:
  void SetUpTls() {
    tls_context_.emplace(asio::ssl::context::tls_client);
    tls_context_->set_options(asio::ssl::context::default_workarounds |
                              asio::ssl::context::no_tlsv1 | asio::ssl::context::no_tlsv1_1);
    if (endpoint_.verifies_certificate) {
      if (endpoint_.ca_file.empty()) {
        tls_context_->set_default_verify_paths();
      } else {
        tls_context_->load_verify_file(endpoint_.ca_file);
      }
    }
    tls_.emplace(socket_, *tls_context_);
    tls_->set_verify_mode(endpoint_.verifies_certificate ? asio::ssl::verify_peer
                                                         : asio::ssl::verify_none);
    if (endpoint_.verifies_certificate) {
      tls_->set_verify_callback([check = asio::ssl::host_name_verification(endpoint_.host)](
                                    bool is_signed, asio::ssl::verify_context& context) {
        const bool is_right = check(is_signed, context);
        // OpenSSL has no error for this case then: the certificate itself is good. Set one, so that
        // the message can say what is wrong.
        if (is_signed && !is_right) {
          X509_STORE_CTX_set_error(context.native_handle(), X509_V_ERR_HOSTNAME_MISMATCH);
        }
        return is_right;
      });
    }
    if (IsAddress(endpoint_.host)) return;  // SNI is only for names
    SSL_set_tlsext_host_name(tls_->native_handle(), endpoint_.host.c_str());
  }

  template <typename Stream>
  asio::awaitable<void> ExchangeOver(Stream& stream, const HttpRequest& request,
                                     const HttpSink& sink, HttpHead& head, Status& status) {
    has_answer_ = keeps_alive_ = false;
    co_await http::async_write(stream, request, use_awaitable);
    http::response_parser<http::buffer_body> parser;
    parser.header_limit(kHeadBytesMax);
    parser.body_limit(boost::none);  // the sink checks the size
    co_await http::async_read_header(stream, buffer_, parser, use_awaitable);
    has_answer_ = true;
    head.status = static_cast<int>(parser.get().result_int());
    for (const auto& field : parser.get()) {
      const auto name = field.name_string();
      const auto value = field.value();
      head.headers[absl::AsciiStrToLower({name.data(), name.size()})] =
          std::string(value.data(), value.size());
    }
    progress_ = Clock::Real().Now();
    size_t bytes = 0;  // since `progress_`
    while (!parser.is_done()) {
      parser.get().body().data = piece_.data();
      parser.get().body().size = piece_.size();
      parser.get().body().more = true;
      boost::system::error_code error;
      co_await http::async_read_some(stream, buffer_, parser,
                                     asio::redirect_error(use_awaitable, error));
      // need_buffer: the piece is full, and the body goes on.
      if (error && error != http::error::need_buffer) throw boost::system::system_error(error);
      const std::string_view piece(piece_.data(), piece_.size() - parser.get().body().size);
      status = sink(head, piece);
      if (!status.ok()) co_return;
      bytes += piece.size();
      // A server that sends a byte now and then makes no progress.
      if (bytes < kSlowBytes) continue;
      progress_ = Clock::Real().Now();
      bytes = 0;
    }
    // Do not reuse the connection if its end marked the end of the body, or if the server sent more
    // bytes than the answer.
    keeps_alive_ = !parser.get().need_eof() && buffer_.size() == 0;
  }

  const HttpEndpoint& endpoint_;
  const SteadyTime end_;
  asio::io_context io_{1};
  tcp::socket socket_;
  std::optional<asio::ssl::context> tls_context_;       // set if `tls_` is
  std::optional<asio::ssl::stream<tcp::socket&>> tls_;  // set if the endpoint uses TLS
  boost::beast::flat_buffer buffer_{kBufferBytesMax};
  std::vector<char> piece_ = std::vector<char>(kPieceBytes);
  SteadyTime progress_;
  bool has_answer_ = false;
  bool keeps_alive_ = false;
};

HttpClient::HttpClient(HttpEndpoint endpoint, HttpClientOptions options)
    : endpoint_(std::move(endpoint)), options_(options) {}

HttpClient::~HttpClient() = default;

StatusOr<HttpHead> HttpClient::Get(const std::string& target,
                                   const std::map<std::string, std::string>& headers,
                                   const HttpSink& sink, const std::atomic<bool>& is_cancelled) {
  return Send({.target = target, .headers = headers}, sink, is_cancelled);
}

StatusOr<HttpHead> HttpClient::Post(const std::string& target,
                                    const std::map<std::string, std::string>& headers,
                                    std::string_view body, const HttpSink& sink,
                                    const std::atomic<bool>& is_cancelled) {
  return Send({.target = target, .headers = headers, .body = body}, sink, is_cancelled);
}

StatusOr<HttpHead> HttpClient::Send(const Request& what, const HttpSink& sink,
                                    const std::atomic<bool>& is_cancelled) {
  HttpRequest request(what.body ? http::verb::post : http::verb::get, what.target, 11);
  for (const auto& [name, value] : what.headers) request.set(name, value);
  if (what.body) {
    request.body() = {what.body->data(), what.body->size()};
    request.prepare_payload();
  }
  const bool is_kept = connection_ != nullptr;
  const char* step = "connect to";
  try {
    if (connection_ == nullptr) {
      connection_ = std::make_unique<Connection>(endpoint_, options_.end);
      const Status connected =
          connection_->Run(connection_->Connect(), options_.connect_timeout, is_cancelled);
      if (!connected.ok()) {
        connection_.reset();
        if (connected.code() == StatusCode::kCancelled) return connected;
        return Error(StatusCode::kUnavailable, "cannot connect to {}: no answer",
                     endpoint_.Authority());
      }
    }
    step = "read from";
    HttpHead head;
    Status status;
    const Status run = connection_->Run(connection_->Exchange(request, sink, head, status),
                                        options_.stall_timeout, is_cancelled);
    // After an error the rest of the answer is still on its way. The next request would read it as
    // its own answer.
    if (!run.ok() || !status.ok() || !connection_->keeps_alive()) connection_.reset();
    TRY(run);
    TRY(status);
    return head;
  } catch (const boost::system::system_error& error) {
    // The server may have closed the connection since the last request.
    const bool is_stale = is_kept && !connection_->has_answer();
    const std::string reason = connection_ ? connection_->TlsReason(error.code()) : "";
    connection_.reset();
    if (is_stale) return Send(what, sink, is_cancelled);
    // An answer that is not HTTP will not change, so that is INTERNAL. A connection that breaks is
    // UNAVAILABLE, and the request is tried again.
    const bool is_http = std::string_view(error.code().category().name()) == "beast.http" &&
                         error.code() != http::error::end_of_stream &&
                         error.code() != http::error::partial_message;
    const bool is_long = error.code() == http::error::buffer_overflow;
    return Error(is_http ? StatusCode::kInternal : StatusCode::kUnavailable, "cannot {} {}: {}{}",
                 step, endpoint_.Authority(),
                 is_long ? "a line of the answer is too long" : error.code().message(), reason);
  }
}

}  // namespace penstock
