// SPDX-License-Identifier: Apache-2.0
#include "net/socket/client_names.h"

#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include <memory>
#include <string>
#include <string_view>

namespace penstock::net {
namespace {

using access::CertificateName;
using access::CertificateNames;
using Kind = CertificateName::Kind;

struct FreeNames {
  void operator()(GENERAL_NAMES* names) const { GENERAL_NAMES_free(names); }
};

// With its length: a name may hold a NUL, and must then equal no name that ends there.
std::string TextOf(const ASN1_STRING* text) {
  return {reinterpret_cast<const char*>(ASN1_STRING_get0_data(text)),
          static_cast<size_t>(ASN1_STRING_length(text))};
}

void AddAlternativeNames(const X509* certificate, int type, Kind kind, CertificateNames& to) {
  const std::unique_ptr<GENERAL_NAMES, FreeNames> names(static_cast<GENERAL_NAMES*>(
      X509_get_ext_d2i(certificate, NID_subject_alt_name, nullptr, nullptr)));
  for (int i = 0; names != nullptr && i < sk_GENERAL_NAME_num(names.get()); ++i) {
    const GENERAL_NAME* const name = sk_GENERAL_NAME_value(names.get(), i);
    // GEN_URI, GEN_DNS and GEN_EMAIL are all of this type.
    if (name->type == type) to.push_back({kind, TextOf(name->d.ia5)});
  }
}

void AddCommonNames(const X509* certificate, CertificateNames& to) {
  const X509_NAME* const subject = X509_get_subject_name(certificate);
  for (int at = -1; (at = X509_NAME_get_index_by_NID(subject, NID_commonName, at)) >= 0;) {
    const ASN1_STRING* const data = X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, at));
    unsigned char* utf8 = nullptr;
    const int size = ASN1_STRING_to_UTF8(&utf8, data);
    if (size < 0) continue;
    to.push_back(
        {Kind::kCommonName, {reinterpret_cast<const char*>(utf8), static_cast<size_t>(size)}});
    OPENSSL_free(utf8);
  }
}

}  // namespace

CertificateNames ClientNamesOf(const ssl_st* ssl) {
  CertificateNames names;
  const X509* const certificate = SSL_get0_peer_certificate(ssl);
  if (certificate == nullptr || SSL_get_verify_result(ssl) != X509_V_OK) return names;
  AddAlternativeNames(certificate, GEN_URI, Kind::kUri, names);
  AddAlternativeNames(certificate, GEN_DNS, Kind::kDns, names);
  AddAlternativeNames(certificate, GEN_EMAIL, Kind::kEmail, names);
  AddCommonNames(certificate, names);
  return names;
}

}  // namespace penstock::net
