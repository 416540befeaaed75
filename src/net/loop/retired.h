// SPDX-License-Identifier: Apache-2.0
// Destroys closed connections without holding up the open ones.
#pragma once

#include <deque>
#include <functional>
#include <memory>
#include <utility>

#include "base/clock.h"
#include "net/loop/turn.h"

namespace penstock::net {

// Destroys objects in turns of about kTurnTimeMax. A connection may hold hundreds of requests, and
// hundreds of connections may be closed at once. Owned by loop.
template <typename T>
class Retired final {
 public:
  using Task = std::function<void()>;

  // `run_later` must run its task on the loop, after the events that are ready now.
  Retired(const Clock& clock, std::function<void(Task)> run_later)
      : clock_(clock), run_later_(std::move(run_later)) {}

  // Takes the object over. It is not destroyed before this returns, since it may be on the call
  // stack.
  // REQUIRES: nobody uses the object after the current event: no timer, no flush, no handler of
  // Asio refers to it.
  void Add(std::unique_ptr<T> object) {
    objects_.push_back(std::move(object));
    if (objects_.size() == 1) RunLater();
  }
  // Call it when the loop runs no tasks any more.
  void DestroyAll() { objects_.clear(); }

  bool empty() const { return objects_.empty(); }

 private:
  void RunLater() {
    run_later_([this] { DestroySome(); });
  }
  // Destroys at least one object, and more until the time is over. The rest waits for another task.
  void DestroySome() {
    const SteadyTime end = clock_.Now() + kTurnTimeMax;
    do {
      // The object stays in the queue meanwhile, so that Add calls no second RunLater.
      objects_.front() = nullptr;
      objects_.pop_front();
    } while (!objects_.empty() && clock_.Now() < end);
    if (!objects_.empty()) RunLater();
  }

  const Clock& clock_;
  const std::function<void(Task)> run_later_;
  std::deque<std::unique_ptr<T>> objects_;
};

}  // namespace penstock::net
