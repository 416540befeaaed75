// SPDX-License-Identifier: Apache-2.0
#include "redis/connection.h"

#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <sys/socket.h>

#include <algorithm>
#include <boost/asio/ip/address.hpp>
#include <cerrno>
#include <climits>
#include <system_error>

namespace penstock::redis {
namespace {

std::string LastTlsError() {
  const unsigned long code = ERR_peek_last_error();
  const char* const reason = ERR_reason_error_string(code);
  ERR_clear_error();
  return reason != nullptr ? reason : "it has ended early";
}

Status Lost(std::string_view what, int error) {
  return Error(StatusCode::kUnavailable, "{}: {}", what, std::generic_category().message(error));
}

}  // namespace

StatusOr<TlsContextPtr> MakeTlsContext(const TlsOptions& options) {
  if (!options.enabled) return TlsContextPtr();
  TlsContextPtr context(SSL_CTX_new(TLS_client_method()));
  if (context == nullptr) return Error(StatusCode::kInternal, "no TLS: {}", LastTlsError());
  SSL_CTX_set_min_proto_version(context.get(), TLS1_2_VERSION);
  SSL_CTX_set_verify(context.get(), SSL_VERIFY_PEER, nullptr);
  SSL_CTX_set_mode(context.get(),
                   SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
  const bool has_authorities =
      options.ca_file.empty()
          ? SSL_CTX_set_default_verify_paths(context.get()) == 1
          : SSL_CTX_load_verify_locations(context.get(), options.ca_file.c_str(), nullptr) == 1;
  if (!has_authorities)
    return InvalidArgument("cannot use the certificates in {}: {}",
                           options.ca_file.empty() ? "the files of this machine" : options.ca_file,
                           LastTlsError());
  if (options.cert_file.empty()) return context;
  if (SSL_CTX_use_certificate_chain_file(context.get(), options.cert_file.c_str()) != 1)
    return InvalidArgument("cannot use the certificate in {}: {}", options.cert_file,
                           LastTlsError());
  if (SSL_CTX_use_PrivateKey_file(context.get(), options.key_file.c_str(), SSL_FILETYPE_PEM) != 1)
    return InvalidArgument("cannot use the key in {}: {}", options.key_file, LastTlsError());
  return context;
}

Status Connection::Open(const boost::asio::ip::tcp::endpoint& endpoint, const std::string& host) {
  Close();
  boost::system::error_code error;
  socket_.open(endpoint.protocol(), error);
  if (!error) socket_.non_blocking(true, error);
  if (!error) socket_.set_option(boost::asio::ip::tcp::no_delay(true), error);
  if (!error) socket_.set_option(boost::asio::socket_base::keep_alive(true), error);
  if (error) return Error(StatusCode::kUnavailable, "no socket: {}", error.message());
  if (::connect(socket_.native_handle(), endpoint.data(),
                static_cast<socklen_t>(endpoint.size())) != 0 &&
      errno != EINPROGRESS)
    return Lost("cannot connect", errno);
  if (context_ == nullptr) return OkStatus();
  tls_.reset(SSL_new(context_));
  if (tls_ == nullptr || SSL_set_fd(tls_.get(), socket_.native_handle()) != 1)
    return Error(StatusCode::kUnavailable, "no TLS: {}", LastTlsError());
  SSL_set_connect_state(tls_.get());
  boost::asio::ip::make_address(host, error);
  const bool is_number = !error;
  const bool checks_name =
      is_number ? X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(tls_.get()), host.c_str()) == 1
                : SSL_set1_host(tls_.get(), host.c_str()) == 1 &&
                      SSL_set_tlsext_host_name(tls_.get(), host.c_str()) == 1;
  if (!checks_name) return Error(StatusCode::kUnavailable, "no TLS: {}", LastTlsError());
  return OkStatus();
}

StatusOr<Connection::Progress> Connection::Continue() {
  if (!is_connected_) {
    int error = 0;
    socklen_t size = sizeof(error);
    if (::getsockopt(socket_.native_handle(), SOL_SOCKET, SO_ERROR, &error, &size) != 0)
      error = errno;
    if (error != 0) return Lost("cannot connect", error);
    is_connected_ = true;
  }
  if (tls_ == nullptr) return Progress::kDone;
  ERR_clear_error();
  const int result = SSL_do_handshake(tls_.get());
  if (result == 1) return Progress::kDone;
  bool waits_to_write = false;
  TRY(TlsProblem(result, waits_to_write));
  return waits_to_write ? Progress::kWaitToWrite : Progress::kWaitToRead;
}

Status Connection::TlsProblem(int result, bool& waits_to_write) const {
  switch (SSL_get_error(tls_.get(), result)) {
    case SSL_ERROR_WANT_READ:
      return OkStatus();
    case SSL_ERROR_WANT_WRITE:
      waits_to_write = true;
      return OkStatus();
    case SSL_ERROR_ZERO_RETURN:
      return Error(StatusCode::kUnavailable, "the node has closed the connection");
    default:
      break;
  }
  const long verified = SSL_get_verify_result(tls_.get());
  if (verified != X509_V_OK)
    return Error(StatusCode::kUnavailable, "the certificate is refused: {}",
                 X509_verify_cert_error_string(verified));
  return Error(StatusCode::kUnavailable, "TLS has failed: {}", LastTlsError());
}

StatusOr<size_t> Connection::Read(std::span<char> to) {
  if (tls_ != nullptr) {
    ERR_clear_error();
    const int wanted = static_cast<int>(std::min<size_t>(to.size(), INT_MAX));
    const int result = SSL_read(tls_.get(), to.data(), wanted);
    if (result > 0) return static_cast<size_t>(result);
    // A socket that becomes writable wakes the reader, too: both are tried at each event.
    bool waits_to_write = false;
    TRY(TlsProblem(result, waits_to_write));
    return 0;
  }
  const ssize_t result = ::recv(socket_.native_handle(), to.data(), to.size(), 0);
  if (result > 0) return static_cast<size_t>(result);
  if (result == 0) return Error(StatusCode::kUnavailable, "the node has closed the connection");
  if (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR) return 0;
  return Lost("the connection is lost", errno);
}

StatusOr<size_t> Connection::Write(std::string_view bytes) {
  if (tls_ != nullptr) {
    ERR_clear_error();
    const int size = static_cast<int>(std::min<size_t>(bytes.size(), INT_MAX));
    const int result = SSL_write(tls_.get(), bytes.data(), size);
    if (result > 0) return static_cast<size_t>(result);
    bool waits_to_write = false;
    TRY(TlsProblem(result, waits_to_write));
    return 0;
  }
  const ssize_t result = ::send(socket_.native_handle(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
  if (result >= 0) return static_cast<size_t>(result);
  if (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR) return 0;
  return Lost("the connection is lost", errno);
}

void Connection::Close() {
  tls_.reset();
  is_connected_ = false;
  boost::system::error_code ignored;
  socket_.close(ignored);
}

}  // namespace penstock::redis
