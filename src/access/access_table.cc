// SPDX-License-Identifier: Apache-2.0
#include "access/access_table.h"

namespace penstock::access {
namespace {

std::string_view View(const TokenHash& hash) {
  return {reinterpret_cast<const char*>(hash.data()), hash.size()};
}

// A text that differs for different names. Host names ignore the case.
std::string KeyOf(const CertificateName& name) {
  std::string key(1, static_cast<char>('0' + static_cast<int>(name.kind)));
  key += name.value;
  if (name.kind == CertificateName::Kind::kDns) {
    for (char& c : key)
      if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return key;
}

}  // namespace

bool AccessTable::SameHash::operator()(const TokenHash& a, const TokenHash& b) const {
  return EqualInConstantTime(View(a), View(b));
}

bool AccessTable::AddToken(const TokenHash& hash, const Caller& caller) {
  return tokens_.try_emplace(hash, &caller).first->second == &caller;
}

bool AccessTable::AddCertificate(const CertificateName& name, const Caller& caller) {
  return certificates_.try_emplace(KeyOf(name), &caller).first->second == &caller;
}

const Caller* AccessTable::FindToken(std::string_view token) const {
  const auto found = tokens_.find(HashOf(token));
  return found == tokens_.end() ? nullptr : found->second;
}

const Caller* AccessTable::FindCertificate(const CertificateNames& names) const {
  for (const CertificateName& name : names)
    if (const auto found = certificates_.find(KeyOf(name)); found != certificates_.end())
      return found->second;
  return nullptr;
}

}  // namespace penstock::access
