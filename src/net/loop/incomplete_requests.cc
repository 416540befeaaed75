// SPDX-License-Identifier: Apache-2.0
#include "net/loop/incomplete_requests.h"

namespace penstock::net {

bool IncompleteRequests::Begin(RequestSender& sender) {
  bool is_counted = allowance_.TryTake(1);
  if (!is_counted) {
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
  const bool is_last = --sender.count_ == 0;
  if (!is_complete && !is_last) return;
  ListOf(sender).Remove(sender);
  sender.has_completed_ = sender.has_completed_ || is_complete;
  if (!is_last) ListOf(sender).Add(sender);
}

void IncompleteRequests::DropOldest(const RequestSender& asking) {
  for (LinkedList<RequestSender>* list : {&unknown_, &known_}) {
    RequestSender* oldest = list->first();
    if (oldest == &asking) oldest = LinkedList<RequestSender>::Next(*oldest);
    if (oldest != nullptr) return oldest->DropIncomplete();
  }
}

}  // namespace penstock::net
