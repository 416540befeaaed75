// SPDX-License-Identifier: Apache-2.0
// The queue of changes that clients and operators have requested and that are not applied yet.
#pragma once

#include <deque>
#include <functional>
#include <optional>
#include <string>

#include "base/clock.h"
#include "config/change_request.h"

namespace penstock {

// Keeps the order of arrival where it matters: among changes of the same model, and between a list
// and all other changes. Changes of different models may pass each other, so that one slow model
// does not delay the others.
//
//   queue.Add(std::move(request));
//   while (auto next = queue.TakeNext([&](const std::string& model) { return IsBusy(model); }))
//     Apply(*std::move(next));
//   queue.AnswerGone(now);   // now and then
//
// It sets no limit: the one who adds counts the requests. One thread at a time.
class ChangeQueue final {
 public:
  void Add(ChangeRequest request);

  // Removes and returns the oldest request that may be applied now; nullopt if there is none. A
  // change of a model that `is_busy` must wait. Later changes of the same model wait behind it, and
  // so does a later list. Everything after a list that waits must wait too.
  std::optional<ChangeRequest> TakeNext(
      const std::function<bool(const std::string& model)>& is_busy);

  // True if a queued change will remove or unload the model.
  bool Unwants(const std::string& model) const;

  // Drops requests whose client has disconnected (answers CANCELLED) or whose deadline has passed
  // (answers DEADLINE_EXCEEDED).
  void AnswerGone(SteadyTime now);
  // Answers every request with `status`, and empties the queue.
  void AnswerAll(const Status& status);

  size_t size() const { return requests_.size(); }

 private:
  std::deque<ChangeRequest> requests_;
};

}  // namespace penstock
