// SPDX-License-Identifier: Apache-2.0
#include "access/access_table.h"

#include <cstring>

namespace penstock::access {
namespace {

uint64_t KeyOf(const TokenHash& hash) {
  uint64_t key = 0;
  std::memcpy(&key, hash.data(), sizeof key);
  return key;
}

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

bool AccessTable::AddToken(const TokenHash& hash, const Caller& caller) {
  std::vector<Token>& same_key = tokens_[KeyOf(hash)];
  for (const Token& token : same_key)
    if (token.hash == hash) return token.caller == &caller;
  same_key.push_back({hash, &caller});
  return true;
}

bool AccessTable::AddCertificate(const CertificateName& name, const Caller& caller) {
  return certificates_.try_emplace(KeyOf(name), &caller).first->second == &caller;
}

const Caller* AccessTable::FindToken(std::string_view token) const {
  const TokenHash hash = HashOf(token);
  const auto found = tokens_.find(KeyOf(hash));
  if (found == tokens_.end()) return nullptr;
  for (const Token& known : found->second)
    if (EqualInConstantTime(View(known.hash), View(hash))) return known.caller;
  return nullptr;
}

const Caller* AccessTable::FindCertificate(const CertificateNames& names) const {
  for (const CertificateName& name : names)
    if (const auto found = certificates_.find(KeyOf(name)); found != certificates_.end())
      return found->second;
  return nullptr;
}

}  // namespace penstock::access
