// SPDX-License-Identifier: Apache-2.0
// How it works. OpenSSL reads and writes memory (BIO_s_mem), and the connection moves the bytes to
// and from the socket. So a TLS connection uses the same reads, turns and flushes as a plain one.
// OpenSSL keeps errors in a queue of the thread. An old error there would make SSL_get_error report
// a failure, so each function clears the queue first.
#include "net/socket/tls.h"

#include <fmt/format.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509_vfy.h>

#include <string>

#include "net/error_response.h"
#include "net/socket/client_names.h"

namespace penstock::net {
namespace {

// Limits the key updates of a peer: kKeyUpdatesFree, and one more for every kBytesPerKeyUpdate
// bytes. Each costs the server new keys and an answer, but a peer needs only one in terabytes.
constexpr uint64_t kKeyUpdatesFree = 100;
constexpr uint64_t kBytesPerKeyUpdate = 64 * 1024;

void CountKeyUpdates(int is_write, int /*version*/, int content_type, const void* data, size_t size,
                     SSL* /*ssl*/, void* count) {
  if (is_write != 0 || content_type != SSL3_RT_HANDSHAKE || size == 0) return;
  if (*static_cast<const unsigned char*>(data) == SSL3_MT_KEY_UPDATE)
    ++*static_cast<uint64_t*>(count);
}

}  // namespace

TlsFilter::TlsFilter(ssl_st* ssl, Side side) : ssl_(ssl) {
  SSL_set_bio(ssl_, BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
  if (side == Side::kServer)
    SSL_set_accept_state(ssl_);
  else
    SSL_set_connect_state(ssl_);
  SSL_set_msg_callback(ssl_, CountKeyUpdates);
  SSL_set_msg_callback_arg(ssl_, &key_updates_);
}

TlsFilter::~TlsFilter() { SSL_free(ssl_); }

void TlsFilter::StartHandshake() {
  ERR_clear_error();
  SSL_do_handshake(ssl_);  // waits for the server: that is no error
  ERR_clear_error();
}

void TlsFilter::Feed(std::span<const std::byte> bytes) {
  was_fed_ = true;
  bytes_fed_ += bytes.size();
  BIO_write(SSL_get_rbio(ssl_), bytes.data(), static_cast<int>(bytes.size()));
}

TlsFilter::Result TlsFilter::Read(std::span<std::byte> to, size_t& bytes) {
  ERR_clear_error();
  const bool has_read = SSL_read_ex(ssl_, to.data(), to.size(), &bytes) == 1;
  // Checked after the read, because the callback counts the updates while OpenSSL reads.
  if (key_updates_ > kKeyUpdatesFree + bytes_fed_ / kBytesPerKeyUpdate) {
    bytes = 0;
    failure_ = "too many key updates";
    return Result::kFailed;
  }
  if (has_read) return Result::kOk;
  bytes = 0;
  const int error = SSL_get_error(ssl_, 0);
  const char* const reason = ERR_reason_error_string(ERR_peek_error());
  const long verified = SSL_get_verify_result(ssl_);
  ERR_clear_error();
  switch (error) {
    case SSL_ERROR_WANT_READ:
    case SSL_ERROR_WANT_WRITE:
      return Result::kMore;
    case SSL_ERROR_ZERO_RETURN:
      return Result::kEnd;
    default:
      failure_ = verified != X509_V_OK ? X509_verify_cert_error_string(verified)
                 : reason != nullptr   ? reason
                                       : "the connection broke";
      return Result::kFailed;
  }
}

ByteChain TlsFilter::Encrypt(const ByteChain& plain) {
  ERR_clear_error();
  for (const Slice& slice : plain.slices()) {
    std::span<const std::byte> left = slice.span();
    size_t written = 0;
    while (!left.empty() && SSL_write_ex(ssl_, left.data(), left.size(), &written) == 1)
      left = left.subspan(written);
  }
  ByteChain wire;
  BIO* const out = SSL_get_wbio(ssl_);
  if (const size_t pending = BIO_ctrl_pending(out); pending > 0) {
    BufferRef block = AllocateBuffer(pending);
    BIO_read(out, block->data(), static_cast<int>(pending));
    wire.Append(WholeSlice(std::move(block)));
  }
  return wire;
}

bool TlsFilter::StartClose() {
  if (close_started_ || !is_established()) return false;
  close_started_ = true;
  ERR_clear_error();
  SSL_shutdown(ssl_);
  ERR_clear_error();
  return BIO_ctrl_pending(SSL_get_wbio(ssl_)) > 0;
}

bool TlsFilter::is_established() const { return SSL_is_init_finished(ssl_) == 1; }

std::string_view TlsFilter::alpn() const {
  const unsigned char* name = nullptr;
  unsigned int size = 0;
  SSL_get0_alpn_selected(ssl_, &name, &size);
  return {reinterpret_cast<const char*>(name), size};
}

access::CertificateNames TlsFilter::client_names() const { return ClientNamesOf(ssl_); }

std::string_view AnswerToClearText(std::span<const std::byte> first_bytes) {
  const std::string_view text(reinterpret_cast<const char*>(first_bytes.data()),
                              first_bytes.size());
  // TLS records begin with a control character, HTTP methods with a capital letter.
  const bool is_http = !text.empty() && text[0] >= 'A' && text[0] <= 'Z';
  // "PRI" is the preface of HTTP/2; see AnswerToClearText in tls.h.
  if (!is_http || text.starts_with("PRI")) return {};
  static const std::string answer = [] {
    const std::string body = ErrorJson("this port speaks TLS only: ask it by https://");
    return fmt::format(
        "HTTP/1.1 400 Bad Request\r\nContent-Type: application/json\r\nContent-Length: {}\r\n"
        "Connection: close\r\n\r\n{}",
        body.size(), body);
  }();
  return answer;
}

}  // namespace penstock::net
