// SPDX-License-Identifier: Apache-2.0
// All callers of a token file, and how to find one by its credentials.
#pragma once

#include <deque>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/hash/hash.h"
#include "access/caller.h"
#include "access/token.h"
#include "base/string_map.h"

namespace penstock::access {

// A name in a client certificate.
struct CertificateName {
  enum class Kind : uint8_t { kUri, kDns, kEmail, kCommonName };

  Kind kind = Kind::kUri;
  std::string value;
};

// The names of a verified client certificate, in the order in which they are looked up: URI, DNS
// and e-mail names, then the common name. Empty: the client has shown no certificate.
using CertificateNames = std::vector<CertificateName>;

// The callers of one token file, by their credentials. ParseTokenFile (config) fills it:
//
//   AccessTable table;
//   Caller& team = table.Add("team");
//   team.Allow(Operation::kInfer, "resnet");
//   if (!table.AddToken(hash, team)) return Duplicate();
//
// It keeps only hashes of tokens. One thread while it is filled, then immutable.
class AccessTable final {
 public:
  // Adds a caller without credentials. The result lives as long as the table.
  Caller& Add(std::string name) { return callers_.emplace_back(std::move(name)); }
  // Give `caller` a further credential. False: another caller has it.
  [[nodiscard]] bool AddToken(const TokenHash& hash, const Caller& caller);
  [[nodiscard]] bool AddCertificate(const CertificateName& name, const Caller& caller);
  // The caller for requests without credentials. Without it they are refused.
  void SetAnonymous(const Caller& caller) { anonymous_ = &caller; }

  // Return null if nobody has these credentials. `token` is the text as the client sends it,
  // without "Bearer". The result lives as long as the table.
  const Caller* FindToken(std::string_view token) const;
  const Caller* FindCertificate(const CertificateNames& names) const;
  const Caller* anonymous() const { return anonymous_; }

  size_t size() const { return callers_.size(); }
  bool has_certificates() const { return !certificates_.empty(); }

 private:
  // Compares in constant time.
  struct SameHash {
    bool operator()(const TokenHash& a, const TokenHash& b) const;
  };

  std::deque<Caller> callers_;  // their addresses stay
  // By the whole hash: a file may have many that begin alike. How long a search takes says
  // something about the hash of the client's guess, but nothing about a token: nobody can choose
  // what a guess hashes to.
  absl::flat_hash_map<TokenHash, const Caller*, absl::Hash<TokenHash>, SameHash> tokens_;
  StringMap<const Caller*> certificates_;
  const Caller* anonymous_ = nullptr;
};

}  // namespace penstock::access
