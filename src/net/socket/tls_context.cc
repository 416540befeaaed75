// SPDX-License-Identifier: Apache-2.0
// Certificates are replaced while a server runs, often by a program that writes the key and the
// certificate one after the other. So a context is made whole from all files, or not at all. If the
// files do not fit together, the old context stays, and the next connection after the next change
// tries again. Open connections keep the context that they began with, since OpenSSL counts
// references.
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <sys/stat.h>

#include "base/log.h"
#include "base/os/read_file.h"
#include "net/socket/tls.h"

namespace penstock::net {
namespace {

// Far more than a chain of certificates needs.
constexpr size_t kPemBytesMax = 16 << 20;

template <auto Free>
struct Freer {
  template <typename T>
  void operator()(T* object) const {
    Free(object);
  }
};
using BioPtr = std::unique_ptr<BIO, Freer<BIO_free_all>>;
using X509Ptr = std::unique_ptr<X509, Freer<X509_free>>;
using KeyPtr = std::unique_ptr<EVP_PKEY, Freer<EVP_PKEY_free>>;
using ContextPtr = std::unique_ptr<SSL_CTX, Freer<SSL_CTX_free>>;

// Returns the text of this thread's last OpenSSL error, and clears all errors.
std::string LastError() {
  const unsigned long code = ERR_peek_last_error();
  const char* const reason = ERR_reason_error_string(code);
  ERR_clear_error();
  return reason != nullptr ? reason : "no PEM data found";
}

// A PEM text, and where it comes from.
struct Pem {
  std::string text;
  std::string source;
};

StatusOr<Pem> ReadPem(const std::string& file, const std::string& text,
                      const std::string& text_source, const char* what) {
  if (file.empty()) {
    return Pem{text, text_source.empty() ? fmt::format("the {} given as text", what)
                                         : fmt::format("the {} in {}", what, text_source)};
  }
  StatusOr<std::string> content = ReadWholeFile(file, kPemBytesMax);
  if (!content.ok())
    return InvalidArgument("cannot read the {} {}: {}", what, file, MessageOf(content.status()));
  return Pem{*std::move(content), fmt::format("the {} {}", what, file)};
}

BioPtr OpenPem(const Pem& pem) {
  return BioPtr(BIO_new_mem_buf(pem.text.data(), static_cast<int>(pem.text.size())));
}

X509Ptr NextCertificate(BIO* bio) {
  return X509Ptr(PEM_read_bio_X509(bio, nullptr, nullptr, nullptr));
}

// The error when OpenSSL has found nothing of this kind in the text.
Status NotPem(const Pem& pem, std::string_view kind) {
  return InvalidArgument(
      "{} cannot be used: {}; it must be PEM text (-----BEGIN {}-----) without passphrase",
      pem.source, LastError(), kind);
}

// Rejects keys with a passphrase: OpenSSL would ask for it at the terminal.
int NoPassphrase(char*, int, int, void*) { return -1; }

Status UseCertificate(SSL_CTX* context, const TlsOptions& options) {
  ASSIGN_OR_RETURN(const Pem pem, ReadPem(options.certificate_file, options.certificate_pem,
                                          options.pem_source, "certificate"));
  const BioPtr bio = OpenPem(pem);
  const X509Ptr leaf = NextCertificate(bio.get());
  if (leaf == nullptr) return NotPem(pem, "CERTIFICATE");
  if (SSL_CTX_use_certificate(context, leaf.get()) != 1)
    return InvalidArgument("{} cannot be used: {}", pem.source, LastError());
  while (X509Ptr next = NextCertificate(bio.get()))
    if (SSL_CTX_add0_chain_cert(context, next.get()) == 1) next.release();
  ERR_clear_error();  // OpenSSL reports the end of the text as an error
  return OkStatus();
}

Status UseKey(SSL_CTX* context, const TlsOptions& options) {
  ASSIGN_OR_RETURN(const Pem pem,
                   ReadPem(options.key_file, options.key_pem, options.pem_source, "private key"));
  const BioPtr bio = OpenPem(pem);
  const KeyPtr key(PEM_read_bio_PrivateKey(bio.get(), nullptr, NoPassphrase, nullptr));
  if (key == nullptr) return NotPem(pem, "PRIVATE KEY");
  if (SSL_CTX_use_PrivateKey(context, key.get()) != 1 || SSL_CTX_check_private_key(context) != 1)
    return InvalidArgument("{} cannot be used with the certificate: {}", pem.source, LastError());
  return OkStatus();
}

Status UseClientCa(SSL_CTX* context, const TlsOptions& options) {
  if (options.client_ca_file.empty() && options.client_ca_pem.empty()) {
    if (options.require_client_certificate)
      return InvalidArgument(
          "client certificates are required, but there is no CA to check them against");
    return OkStatus();
  }
  ASSIGN_OR_RETURN(const Pem pem, ReadPem(options.client_ca_file, options.client_ca_pem,
                                          options.pem_source, "CA certificate for clients"));
  const BioPtr bio = OpenPem(pem);
  int count = 0;
  while (const X509Ptr ca = NextCertificate(bio.get())) {
    X509_STORE_add_cert(SSL_CTX_get_cert_store(context), ca.get());
    SSL_CTX_add_client_CA(context, ca.get());
    ++count;
  }
  if (count == 0) return NotPem(pem, "CERTIFICATE");
  ERR_clear_error();
  const int required = options.require_client_certificate ? SSL_VERIFY_FAIL_IF_NO_PEER_CERT : 0;
  SSL_CTX_set_verify(context, SSL_VERIFY_PEER | required, nullptr);
  return OkStatus();
}

// Selects the protocol in the server's order: HTTP/2 first.
int SelectAlpn(SSL*, const unsigned char** selected, unsigned char* selected_size,
               const unsigned char* offered, unsigned int offered_size, void*) {
  static constexpr unsigned char kOurs[] = "\x02h2\x08http/1.1";
  unsigned char* chosen = nullptr;
  if (SSL_select_next_proto(&chosen, selected_size, kOurs, sizeof kOurs - 1, offered,
                            offered_size) != OPENSSL_NPN_NEGOTIATED)
    // RFC 7301, section 3.2: without a common protocol the handshake ends. A client without ALPN
    // does not get here.
    return SSL_TLSEXT_ERR_ALERT_FATAL;
  *selected = chosen;
  return SSL_TLSEXT_ERR_OK;
}

StatusOr<ContextPtr> MakeContext(const TlsOptions& options) {
  ContextPtr context(SSL_CTX_new(TLS_server_method()));
  if (context == nullptr) return Error(StatusCode::kInternal, "OpenSSL: {}", LastError());
  SSL_CTX_set_min_proto_version(context.get(), TLS1_2_VERSION);
  // HTTP/2 forbids compression and renegotiation (RFC 9113, section 9.2.1). An end of input without
  // a close_notify counts as a normal end: HTTP has lengths of its own, and many clients just
  // close.
  SSL_CTX_set_options(context.get(), SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION |
                                         SSL_OP_CIPHER_SERVER_PREFERENCE |
                                         SSL_OP_IGNORE_UNEXPECTED_EOF);
  // Idle connections then hold no buffers, about 34 KiB each.
  SSL_CTX_set_mode(context.get(), SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
                                      SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
  // For TLS 1.2: only ciphers with forward secrecy and authenticated encryption, as RFC 9113
  // (section 9.2.2) asks. TLS 1.3 has only such ones.
  SSL_CTX_set_cipher_list(context.get(), "ECDHE+AESGCM:ECDHE+CHACHA20");
  SSL_CTX_set_alpn_select_cb(context.get(), SelectAlpn, nullptr);
  static constexpr unsigned char kSessionContext[] = "penstock";
  // OpenSSL needs an id to resume sessions if client certificates are checked. Without it such a
  // handshake fails.
  SSL_CTX_set_session_id_context(context.get(), kSessionContext, sizeof kSessionContext - 1);
  TRY(UseCertificate(context.get(), options));
  TRY(UseKey(context.get(), options));
  TRY(UseClientCa(context.get(), options));
  return context;
}

// Returns a text that changes when the file changes. Empty for a pipe, so that it is never read
// again: its data is gone after the first read.
std::string StampOf(const std::string& file) {
  struct stat info = {};
  if (file.empty() || stat(file.c_str(), &info) != 0 || S_ISFIFO(info.st_mode)) return {};
  return fmt::format("{}.{}.{}.{}", info.st_mtim.tv_sec, info.st_mtim.tv_nsec, info.st_size,
                     info.st_ino);
}

}  // namespace

TlsContext::TlsContext(const TlsOptions& options, ssl_ctx_st* context, Stamps stamps)
    : options_(options),
      context_(context),
      stamps_(std::move(stamps)),
      next_check_(std::chrono::steady_clock::now() + options.reload_interval) {}

TlsContext::~TlsContext() { SSL_CTX_free(context_); }

StatusOr<std::unique_ptr<TlsContext>> TlsContext::Load(const TlsOptions& options) {
  // Take the stamps before reading the files, so that a change in between is noticed later.
  Stamps stamps = StampsOf(options);
  ASSIGN_OR_RETURN(ContextPtr context, MakeContext(options));
  return std::unique_ptr<TlsContext>(new TlsContext(options, context.release(), std::move(stamps)));
}

TlsContext::Stamps TlsContext::StampsOf(const TlsOptions& options) {
  return {StampOf(options.certificate_file), StampOf(options.key_file),
          StampOf(options.client_ca_file)};
}

void TlsContext::ReloadIfChanged() {
  const SteadyTime now = std::chrono::steady_clock::now();
  if (options_.reload_interval <= Duration::zero() || now < next_check_) return;
  next_check_ = now + options_.reload_interval;
  Stamps stamps = StampsOf(options_);
  // Below, the new stamps count even if the files are bad. Otherwise each interval would repeat the
  // same error.
  if (stamps == stamps_) return;
  stamps_ = std::move(stamps);
  StatusOr<ContextPtr> context = MakeContext(options_);
  if (!context.ok()) {
    PENSTOCK_LOG(kError, "the changed TLS files are not used, the old ones stay: {}",
                 MessageOf(context.status()));
    return;
  }
  SSL_CTX_free(context_);
  context_ = context->release();
  PENSTOCK_LOG(kInfo, "the changed TLS files are in use");
}

std::unique_ptr<TlsFilter> TlsContext::NewFilter() {
  MutexLock lock(mutex_);
  ReloadIfChanged();
  return std::make_unique<TlsFilter>(SSL_new(context_));
}

}  // namespace penstock::net
