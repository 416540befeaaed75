// SPDX-License-Identifier: Apache-2.0
// The rules are an immutable table behind a shared pointer. Replace swaps the pointer and then
// increments the generation. A connection compares the generation with the one that it remembers,
// which costs one load, and asks again only after a change. A caller keeps the table alive that it
// belongs to, so requests that have begun end by the rules with which they began.
//
// Nothing here depends in its time on a secret: tokens are found by their hash, and the remembered
// credentials are compared in constant time.
#include "access/access_control.h"

#include <openssl/crypto.h>

namespace penstock::access {
namespace {

constexpr std::string_view kScheme = "bearer ";
// The limit for what is hashed and remembered. Tokens are much shorter.
constexpr size_t kAuthorizationBytesMax = 4096;

bool HasScheme(std::string_view authorization) {
  if (authorization.size() < kScheme.size()) return false;
  for (size_t i = 0; i < kScheme.size(); ++i) {
    const char c = authorization[i];
    const bool is_upper = c >= 'A' && c <= 'Z';
    if ((is_upper ? static_cast<char>(c - 'A' + 'a') : c) != kScheme[i]) return false;
  }
  return true;
}

// Strangers are static objects, so no reference needs to be counted.
CallerPtr Uncounted(const Caller& caller) { return {std::shared_ptr<void>(), &caller}; }

const Caller& WithoutCredentials() {
  static const Caller stranger = Caller::Stranger(
      "this server asks who you are: send 'authorization: Bearer TOKEN', or a client certificate "
      "that it knows");
  return stranger;
}

const Caller& WithUnknownCertificate() {
  static const Caller stranger =
      Caller::Stranger("the client certificate has no name that this server knows");
  return stranger;
}

const Caller& WithMalformedField() {
  static const Caller stranger = Caller::Stranger(
      "the authorization must be one field of the form 'Bearer TOKEN', of at most 4096 bytes");
  return stranger;
}

const Caller& WithUnknownToken() {
  static const Caller stranger = Caller::Stranger("this server does not know the token");
  return stranger;
}

std::string_view WithoutSpaces(std::string_view text) {
  const size_t begin = text.find_first_not_of(' ');
  if (begin == text.npos) return {};
  return text.substr(begin, text.find_last_not_of(' ') + 1 - begin);
}

// Returns the caller, or a stranger.
const Caller& Find(const AccessTable& table, std::string_view authorization,
                   const CertificateNames& names) {
  if (!authorization.empty()) {
    if (authorization.size() > kAuthorizationBytesMax || !HasScheme(authorization))
      return WithMalformedField();
    const Caller* const caller =
        table.FindToken(WithoutSpaces(authorization.substr(kScheme.size())));
    // A wrong token is never ignored: its sender must not believe that it works.
    return caller != nullptr ? *caller : WithUnknownToken();
  }
  if (const Caller* const caller = table.FindCertificate(names)) return *caller;
  if (table.anonymous() != nullptr) return *table.anonymous();
  return names.empty() ? WithoutCredentials() : WithUnknownCertificate();
}

}  // namespace

AccessControl::AccessControl(AccessTable table)
    : table_(std::make_shared<const AccessTable>(std::move(table))) {}

void AccessControl::Replace(AccessTable table) {
  auto replacement = std::make_shared<const AccessTable>(std::move(table));
  MutexLock lock(mutex_);
  table_.swap(replacement);
  // After the swap: who sees the new number gets the new table.
  generation_.fetch_add(1, std::memory_order_release);
}

std::shared_ptr<const AccessTable> AccessControl::table() const {
  MutexLock lock(mutex_);
  return table_;
}

CallerPtr AccessControl::Identify(std::string_view authorization,
                                  const CertificateNames& names) const {
  std::shared_ptr<const AccessTable> rules = table();
  const Caller& caller = Find(*rules, authorization, names);
  if (!caller.refusal().empty()) return Uncounted(caller);
  // The owner is an object of its own, and not `rules`, whose count all connections share.
  return {std::make_shared<std::shared_ptr<const AccessTable>>(std::move(rules)), &caller};
}

CallerMemo::~CallerMemo() { OPENSSL_cleanse(seen_.data(), seen_.size()); }

void CallerMemo::Learn(std::string_view authorization, uint64_t generation) {
  caller_ = control_.Identify(authorization, names_);
  // A long value is refused each time, and not kept.
  const bool is_kept = authorization.size() <= kAuthorizationBytesMax;
  generation_ = is_kept ? generation : 0;
  OPENSSL_cleanse(seen_.data(), seen_.size());
  seen_ = is_kept ? authorization : std::string_view();
}

}  // namespace penstock::access
