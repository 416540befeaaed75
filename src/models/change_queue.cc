// SPDX-License-Identifier: Apache-2.0
// A change of one model waits only for earlier changes of that model. A list concerns all models,
// so it waits for every change that came before it, and every change that came after it waits for
// the list.
#include "models/change_queue.h"

#include <algorithm>
#include <set>
#include <utility>

namespace penstock {
namespace {

// The error if nobody waits for the change any more. OK: the change is still wanted.
Status Refusal(const ChangeRequest& request, SteadyTime now) {
  if (!request.is_wanted()) return absl::CancelledError("the client has gone");
  if (now >= request.deadline) return absl::DeadlineExceededError("other changes took the time");
  return OkStatus();
}

}  // namespace

void ChangeQueue::Add(ChangeRequest request) { requests_.push_back(std::move(request)); }

std::optional<ChangeRequest> ChangeQueue::TakeNext(
    const std::function<bool(const std::string& model)>& is_busy) {
  std::set<std::string> held;  // models with an earlier change that waits
  for (auto request = requests_.begin(); request != requests_.end(); ++request) {
    const auto* const change = std::get_if<ModelChange>(&request->change);
    const bool waits =
        change == nullptr ? !held.empty() : held.contains(change->model) || is_busy(change->model);
    if (!waits) {
      ChangeRequest next = std::move(*request);
      requests_.erase(request);
      return next;
    }
    // A list waits. Nothing behind it may pass it.
    if (change == nullptr) return std::nullopt;
    held.insert(change->model);
  }
  return std::nullopt;
}

bool ChangeQueue::Unwants(const std::string& model) const {
  return std::ranges::any_of(requests_, [&](const ChangeRequest& request) {
    const auto* const change = std::get_if<ModelChange>(&request.change);
    return change != nullptr && change->model == model &&
           (change->kind == ModelChange::Kind::kRemove ||
            change->kind == ModelChange::Kind::kUnload);
  });
}

void ChangeQueue::AnswerGone(SteadyTime now) {
  std::deque<ChangeRequest> left;
  for (ChangeRequest& request : requests_) {
    if (const Status status = Refusal(request, now); !status.ok()) {
      request.done(status);
    } else {
      left.push_back(std::move(request));
    }
  }
  requests_ = std::move(left);
}

void ChangeQueue::AnswerAll(const Status& status) {
  for (ChangeRequest& request : std::exchange(requests_, {})) request.done(status);
}

}  // namespace penstock
