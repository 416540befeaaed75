// SPDX-License-Identifier: Apache-2.0
// Finds out who sends a request. The rules can be replaced while the server runs.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "access/access_table.h"
#include "access/caller.h"
#include "base/mutex.h"

namespace penstock::access {

// A caller, with the rules that it belongs to. Null: the server has no token file.
using CallerPtr = std::shared_ptr<const Caller>;

// The rules in force, which a reload of the token file replaces.
//
//   AccessControl control(table);
//   CallerMemo memo(control, names_of_the_client_certificate);      // one for each connection
//   head.caller = memo.Identify(net::AuthorizationOf(head.headers));  // for each request
//
// Thread-safe.
class AccessControl final {
 public:
  // `table` must be complete: it does not change any more.
  explicit AccessControl(AccessTable table);

  // Puts other rules in force. Requests that have begun keep the former ones.
  void Replace(AccessTable table) EXCLUDES(mutex_);
  // Changes with each Replace.
  uint64_t generation() const { return generation_.load(std::memory_order_acquire); }

  // Returns the caller with these credentials, or a stranger. Never null. `authorization` is the
  // value of the header field of that name; empty: the request has none. A token counts before a
  // certificate. Each result has a reference count of its own: if a connection keeps one result,
  // no two event loops write to the same cache line for each request.
  CallerPtr Identify(std::string_view authorization, const CertificateNames& names) const
      EXCLUDES(mutex_);

 private:
  std::shared_ptr<const AccessTable> table() const EXCLUDES(mutex_);

  std::atomic<uint64_t> generation_{1};
  mutable Mutex mutex_;
  std::shared_ptr<const AccessTable> table_ GUARDED_BY(mutex_);  // requests keep old ones alive
};

// The caller of one connection's requests. It remembers the last credentials and whose they are, so
// that a token costs a hash only once. It notices by the generation that the rules were replaced.
// The former credentials are wiped from memory at its end. One thread at a time.
class CallerMemo final {
 public:
  // `control` must outlive it.
  CallerMemo(const AccessControl& control, CertificateNames names)
      : control_(control), names_(std::move(names)) {}
  ~CallerMemo();
  CallerMemo(const CallerMemo&) = delete;
  CallerMemo& operator=(const CallerMemo&) = delete;

  // As AccessControl::Identify.
  const CallerPtr& Identify(std::string_view authorization) {
    const uint64_t generation = control_.generation();
    if (generation != generation_ || !EqualInConstantTime(authorization, seen_)) [[unlikely]]
      Learn(authorization, generation);
    return caller_;
  }

 private:
  // Asks the control, and remembers the result.
  void Learn(std::string_view authorization, uint64_t generation);

  const AccessControl& control_;
  const CertificateNames names_;
  uint64_t generation_ = 0;  // of caller_; 0: nothing is remembered
  std::string seen_;         // the credentials of caller_
  CallerPtr caller_;
};

}  // namespace penstock::access
