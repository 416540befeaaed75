// SPDX-License-Identifier: Apache-2.0
// Limits the requests of which only a part has arrived. They do not count as being served, so that
// clients that only begin requests do not block others; but each takes some kilobytes of memory,
// and a client can begin one with a few bytes. So they have a limit of their own, and a client
// cannot use it up for the others: at the limit a connection loses its incomplete requests to those
// that come after it, first a connection that has never completed a request. The same happens when
// the budget for bodies is full, but then only connections that have never completed a request lose
// theirs.
//
// A request counts only if a part of it is still missing after a read, or when another request
// begins. So requests that come in one piece cost nothing here.
#pragma once

#include "base/clock.h"
#include "net/loop/allowance.h"
#include "net/loop/linked_list.h"

namespace penstock::net {

class IncompleteRequests;

// A connection is slow if fewer bytes than this come for each of its incomplete requests in each
// second, for so many ticks of its clock in a row.
inline constexpr uint64_t kSlowBytesPerSecond = 1024;
inline constexpr int kSlowTicks = 5;

// A connection with incomplete requests. Owned by loop.
class RequestSender : public LinkedItem<RequestSender> {
 public:
  // The resource that the server lacks.
  enum class Shortage { kPlaces, kMemory };

  virtual ~RequestSender() = default;
  // Another connection needs the place or the memory: drops all incomplete requests. Must call
  // IncompleteRequests::End for each.
  virtual void DropIncomplete(Shortage shortage) = 0;
  // There is no memory for a request of this connection, which will be refused. The session counts
  // these, and ends a connection that causes too many.
  virtual void OnNoMemory() = 0;
  // True if the connection has completed a request and has not been slow since (NoteProgress). Such
  // a connection loses its incomplete requests last.
  bool has_completed() const { return has_completed_; }
  bool has_incomplete() const { return count_ > 0; }

 private:
  friend class IncompleteRequests;
  friend class SenderScope;
  int count_ = 0;
  int uncounted_ = 0;  // those of count_ that the allowance does not count
  int scopes_ = 0;     // it is on the call stack, so DropIncomplete must not be called
  int slow_ticks_ = 0;
  bool has_completed_ = false;
};

// The incomplete requests of one loop. The limit is one for all loops, but a loop drops only
// requests of its own connections: another loop's sessions belong to another thread.
//
//   if (!requests.Begin(*this)) return Refuse();  // the head has come, the body has not
//   ...
//   requests.End(*this, /*is_complete=*/true);    // exactly once for each true result of Begin
//
// The session wraps each call into its code in a SenderScope, so that it is not dropped from below.
// See incomplete_requests.cc. Owned by loop.
class IncompleteRequests final {
 public:
  // `allowance` is that of all loops. A sender may always have `per_sender` requests.
  IncompleteRequests(Allowance& allowance, int loops, int per_sender)
      : allowance_(allowance, loops, kLot), per_sender_(per_sender) {}

  // False: the limit is reached and `sender` has its `per_sender` requests, so refuse the request.
  [[nodiscard]] bool Begin(RequestSender& sender);
  // A request of `sender` is complete, or it is dropped.
  void End(RequestSender& sender, bool is_complete);
  // `sender` has completed a request that never counted as incomplete.
  void NoteComplete(RequestSender& sender) {
    if (sender.count_ > 0) return MoveToEnd(sender);
    sender.has_completed_ = true;
  }

  // Call it about once a second while the budget is more than half used. `bytes` of the incomplete
  // requests of `sender` have come in `time`. A slow sender counts from now on as one that has
  // completed none. Otherwise it could complete one, and then keep memory with a byte now and then.
  void NoteProgress(RequestSender& sender, uint64_t bytes, Duration time);

  // Takes `bytes` from `budget`, which has too few left: first drops incomplete requests of
  // connections that have completed none. False: there are too few of them, or the current sender
  // has completed no request itself and has more than its `per_sender` incomplete ones.
  [[nodiscard]] bool TryTakeBack(LocalAllowance& budget, uint64_t bytes);
  // Drops incomplete requests of connections that have completed none, until `budget` has at least
  // `left`.
  void DropUntilLeft(const Allowance& budget, uint64_t left);

 private:
  friend class SenderScope;
  static constexpr uint64_t kLot = 64;

  LinkedList<RequestSender>& ListOf(const RequestSender& sender) {
    return sender.has_completed_ ? known_ : unknown_;
  }
  // `sender`, which has incomplete requests, has just completed one.
  // REQUIRES: `sender` is in one of the two lists.
  void MoveToEnd(RequestSender& sender);
  // Makes the sender that is first in order drop its requests. Skips `asking`, and senders on the
  // call stack. Does nothing if there is no other.
  void DropOldest(const RequestSender& asking);
  // The same, but only for senders that have completed no request. False: there is none.
  bool DropUnknown();

  LocalAllowance allowance_;
  const int per_sender_;
  RequestSender* current_ = nullptr;  // whose input is being handled; null: nobody's
  // The senders with incomplete requests. `known_` have completed one; who completed one last is at
  // the end.
  LinkedList<RequestSender> unknown_;
  LinkedList<RequestSender> known_;
};

// `sender` handles input while the scope lasts. Scopes may be nested. Owned by loop.
class SenderScope final {
 public:
  SenderScope(IncompleteRequests& requests, RequestSender& sender)
      : requests_(requests), sender_(sender), outer_(requests.current_) {
    requests_.current_ = &sender_;
    ++sender_.scopes_;
  }
  ~SenderScope() {
    requests_.current_ = outer_;
    --sender_.scopes_;
  }
  SenderScope(const SenderScope&) = delete;
  SenderScope& operator=(const SenderScope&) = delete;

 private:
  IncompleteRequests& requests_;
  RequestSender& sender_;
  RequestSender* const outer_;
};

}  // namespace penstock::net
