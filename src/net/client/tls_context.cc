// SPDX-License-Identifier: Apache-2.0
#include "net/client/tls_context.h"

#include <arpa/inet.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

namespace penstock::net {
namespace {

struct SslContextDelete {
  void operator()(SSL_CTX* context) const { SSL_CTX_free(context); }
};
using ClientContext = std::unique_ptr<SSL_CTX, SslContextDelete>;

Status TlsFileError(const std::string& file, std::string_view what) {
  const char* const reason = ERR_reason_error_string(ERR_peek_last_error());
  ERR_clear_error();
  return InvalidArgument("{} cannot be used as {}: {}", file, what,
                         reason == nullptr ? "it cannot be read" : reason);
}

Status UseFiles(SSL_CTX* context, const ClientTlsOptions& options) {
  if (options.ca_file.empty()) {
    SSL_CTX_set_default_verify_paths(context);
  } else if (SSL_CTX_load_verify_locations(context, options.ca_file.c_str(), nullptr) != 1) {
    return TlsFileError(options.ca_file, "the CA certificate");
  }
  if (options.certificate_file.empty() != options.key_file.empty())
    return InvalidArgument("a client certificate needs both a certificate and a key");
  if (options.certificate_file.empty()) return OkStatus();
  if (SSL_CTX_use_certificate_chain_file(context, options.certificate_file.c_str()) != 1)
    return TlsFileError(options.certificate_file, "the client certificate");
  if (SSL_CTX_use_PrivateKey_file(context, options.key_file.c_str(), SSL_FILETYPE_PEM) != 1 ||
      SSL_CTX_check_private_key(context) != 1)
    return TlsFileError(options.key_file, "the key of the client certificate");
  return OkStatus();
}

bool IsAddress(const std::string& name) {
  in6_addr buffer;
  return inet_pton(AF_INET, name.c_str(), &buffer) == 1 ||
         inet_pton(AF_INET6, name.c_str(), &buffer) == 1;
}

}  // namespace

StatusOr<std::unique_ptr<TlsFilter>> MakeClientTls(const ClientTlsOptions& options,
                                                   const std::string& host) {
  ERR_clear_error();
  const ClientContext context(SSL_CTX_new(TLS_client_method()));
  if (context == nullptr) return absl::InternalError("OpenSSL has no memory for a TLS context");
  SSL_CTX_set_min_proto_version(context.get(), TLS1_2_VERSION);
  SSL_CTX_set_options(context.get(), SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION);
  SSL_CTX_set_cipher_list(context.get(), "ECDHE+AESGCM:ECDHE+CHACHA20");
  SSL_CTX_set_mode(context.get(),
                   SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
  SSL_CTX_set_verify(context.get(), SSL_VERIFY_PEER, nullptr);
  static constexpr unsigned char kHttp2[] = "\x02h2";
  SSL_CTX_set_alpn_protos(context.get(), kHttp2, sizeof kHttp2 - 1);
  TRY(UseFiles(context.get(), options));
  SSL* const ssl = SSL_new(context.get());
  if (ssl == nullptr) return absl::InternalError("OpenSSL has no memory for a connection");
  auto filter = std::make_unique<TlsFilter>(ssl, TlsFilter::Side::kClient);
  const std::string& name = options.server_name.empty() ? host : options.server_name;
  if (IsAddress(name)) {
    X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), name.c_str());
  } else {
    SSL_set_tlsext_host_name(ssl, name.c_str());
    SSL_set_hostflags(ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    if (SSL_set1_host(ssl, name.c_str()) != 1)
      return InvalidArgument("'{}' is no name that a certificate can have", name);
  }
  filter->StartHandshake();
  return filter;
}

}  // namespace penstock::net
