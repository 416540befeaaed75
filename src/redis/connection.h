// SPDX-License-Identifier: Apache-2.0
// A socket to a node, with TLS or without. Nothing here blocks.
#pragma once

#include <openssl/ssl.h>

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "base/status.h"
#include "redis/options.h"

namespace penstock::redis {

struct TlsContextFreer {
  void operator()(SSL_CTX* context) const { SSL_CTX_free(context); }
};
struct TlsFreer {
  void operator()(SSL* tls) const { SSL_free(tls); }
};
using TlsContextPtr = std::unique_ptr<SSL_CTX, TlsContextFreer>;

// Returns null if TLS is off. Errors: INVALID_ARGUMENT if a file cannot be used.
StatusOr<TlsContextPtr> MakeTlsContext(const TlsOptions& options);

// One connection at a time. One thread at a time.
class Connection final {
 public:
  enum class Progress { kDone, kWaitToRead, kWaitToWrite };

  // `tls` may be null, and must outlive it.
  Connection(boost::asio::io_context& io, SSL_CTX* tls) : socket_(io), context_(tls) {}

  // Begins to connect. `host` is the name that the certificate must have.
  Status Open(const boost::asio::ip::tcp::endpoint& endpoint, const std::string& host);
  // Goes on with the connection and TLS's handshake, when the socket is ready for what the last
  // call has asked for. The first call needs the socket to be writable.
  StatusOr<Progress> Continue();
  // These return how many bytes were read or written; 0: the socket must first be ready again.
  // Errors: UNAVAILABLE.
  StatusOr<size_t> Read(std::span<char> to);
  StatusOr<size_t> Write(std::string_view bytes);
  void Close();

  boost::asio::ip::tcp::socket& socket() { return socket_; }

 private:
  Status TlsProblem(int result, bool& waits_to_write) const;

  boost::asio::ip::tcp::socket socket_;
  SSL_CTX* const context_;
  std::unique_ptr<SSL, TlsFreer> tls_;
  bool is_connected_ = false;
};

}  // namespace penstock::redis
