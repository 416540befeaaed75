// SPDX-License-Identifier: Apache-2.0
// How it works. Senders with incomplete requests are in one of two lists: `unknown_` have never
// completed a request on this connection, `known_` have. Each list begins with the sender that the
// server drops first. A client that only begins requests, to use up the limit, stays in `unknown_`.
// So it loses its requests before a client that works normally.
//
// DropIncomplete calls into a session and changes the lists. So a loop over a list starts from its
// head again after each drop. A session on the call stack must not be dropped, because its caller
// still uses its state; SenderScope marks it.
#include "net/loop/incomplete_requests.h"

namespace penstock::net {

bool IncompleteRequests::Begin(RequestSender& sender) {
  bool is_counted = allowance_.TryTake(1);
  if (!is_counted) {
    // At the limit. Only a sender with few requests may push others out. Otherwise one connection
    // that opens many streams could end all others.
    if (sender.count_ >= per_sender_) return false;
    DropOldest(sender);
    is_counted = allowance_.TryTake(1);
  }
  // Without a sender to drop, the others of this loop have no incomplete requests. Then the few of
  // this sender may exceed the limit.
  if (!is_counted) ++sender.uncounted_;
  if (sender.count_++ == 0) ListOf(sender).Add(sender);
  return true;
}

void IncompleteRequests::End(RequestSender& sender, bool is_complete) {
  if (sender.uncounted_ > 0) {
    --sender.uncounted_;
  } else {
    allowance_.Give(1);
  }
  if (--sender.count_ == 0) {
    ListOf(sender).Remove(sender);
    sender.has_completed_ = sender.has_completed_ || is_complete;
  } else if (is_complete) {
    MoveToEnd(sender);
  }
}

void IncompleteRequests::MoveToEnd(RequestSender& sender) {
  ListOf(sender).Remove(sender);
  sender.has_completed_ = true;
  known_.Add(sender);
}

void IncompleteRequests::DropOldest(const RequestSender& asking) {
  for (LinkedList<RequestSender>* list : {&unknown_, &known_}) {
    RequestSender* oldest = list->first();
    while (oldest != nullptr && (oldest == &asking || oldest->scopes_ > 0))
      oldest = LinkedList<RequestSender>::Next(*oldest);
    if (oldest != nullptr) return oldest->DropIncomplete(RequestSender::Shortage::kPlaces);
  }
}

void IncompleteRequests::NoteProgress(RequestSender& sender, uint64_t bytes, Duration time) {
  const auto milliseconds =
      static_cast<uint64_t>(std::chrono::duration_cast<std::chrono::milliseconds>(time).count());
  const uint64_t wanted = kSlowBytesPerSecond * static_cast<uint64_t>(sender.count_) * milliseconds;
  sender.slow_ticks_ = bytes * 1000 < wanted ? sender.slow_ticks_ + 1 : 0;
  if (sender.slow_ticks_ < kSlowTicks || !sender.has_completed_) return;
  known_.Remove(sender);
  sender.has_completed_ = false;
  unknown_.Add(sender);
}

bool IncompleteRequests::TryTakeBack(LocalAllowance& budget, uint64_t bytes) {
  RequestSender* const asking = current_;
  // Otherwise one connection with many large requests could end all others.
  const bool may_drop =
      asking == nullptr || asking->has_completed_ || asking->count_ <= per_sender_;
  while (may_drop && DropUnknown()) {
    if (budget.TryTake(bytes)) return true;
  }
  // The session counts this refusal, and ends a connection that causes too many.
  if (asking != nullptr) asking->OnNoMemory();
  return false;
}

void IncompleteRequests::DropUntilLeft(const Allowance& budget, uint64_t left) {
  while (budget.left() < left && DropUnknown()) {
  }
}

// Drops the incomplete requests of the oldest sender that has completed none. False: there is no
// such sender.
bool IncompleteRequests::DropUnknown() {
  RequestSender* oldest = unknown_.first();
  while (oldest != nullptr && oldest->scopes_ > 0)
    oldest = LinkedList<RequestSender>::Next(*oldest);
  if (oldest == nullptr) return false;
  oldest->DropIncomplete(RequestSender::Shortage::kMemory);
  return true;
}

}  // namespace penstock::net
