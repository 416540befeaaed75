// SPDX-License-Identifier: Apache-2.0
// Limits the HTTP/2 requests whose head has arrived and whose body has not. They do not count as
// being served, so that clients that only begin requests do not block others; but each takes some
// kilobytes of memory, and a head takes only a few bytes to send. So they have a limit of their
// own, and a client cannot use it up for the others: at the limit a connection loses its incomplete
// requests to those that come after it, first a connection that has never completed a request.
#pragma once

#include "net/loop/allowance.h"
#include "net/loop/linked_list.h"

namespace penstock::net {

// A connection with incomplete requests. Owned by loop.
class RequestSender : public LinkedItem<RequestSender> {
 public:
  virtual ~RequestSender() = default;
  // Another connection needs the place: drops all incomplete requests. Must call
  // IncompleteRequests::End for each.
  virtual void DropIncomplete() = 0;
  bool has_completed() const { return has_completed_; }

 private:
  friend class IncompleteRequests;
  int count_ = 0;
  int uncounted_ = 0;  // those of count_ that the allowance does not count
  bool has_completed_ = false;
};

// The incomplete requests of one loop. Owned by loop.
class IncompleteRequests final {
 public:
  // `allowance` is that of all loops. A sender may always have `per_sender` requests.
  IncompleteRequests(Allowance& allowance, int loops, int per_sender)
      : allowance_(allowance, loops, kLot), per_sender_(per_sender) {}

  // False: the limit is reached and `sender` has its `per_sender` requests, so refuse the request.
  [[nodiscard]] bool Begin(RequestSender& sender);
  // A request of `sender` is complete, or it is dropped.
  void End(RequestSender& sender, bool is_complete);

 private:
  static constexpr uint64_t kLot = 64;

  LinkedList<RequestSender>& ListOf(const RequestSender& sender) {
    return sender.has_completed_ ? known_ : unknown_;
  }
  void DropOldest(const RequestSender& asking);

  LocalAllowance allowance_;
  const int per_sender_;
  // The senders with incomplete requests. `known_` have completed one; who completed one last is at
  // the end.
  LinkedList<RequestSender> unknown_;
  LinkedList<RequestSender> known_;
};

}  // namespace penstock::net
