// SPDX-License-Identifier: Apache-2.0
// Wake-ups of event loops that wait until a burst of answers is complete.
#pragma once

#include <algorithm>
#include <memory>
#include <utility>

#include "absl/container/inlined_vector.h"

namespace penstock {

// While it lasts, what this thread hands to other threads wakes none of them; at its end each is
// woken once. A thread that answers many requests in a row uses it:
//
//   const HeldWakes held;
//   for (auto& request : batch) request.Answer(...);
//
// Without it, the first answer wakes its event loop. On a busy machine that loop takes the CPU,
// writes one answer, sleeps, and is woken by the next one. Keep it short: the answers wait. One
// thread.
class HeldWakes final {
 public:
  // A thread that sleeps until there is work for it.
  class Sleeper {
   public:
    // Wakes the thread if it has work. Thread-safe.
    virtual void WakeIfNeeded() = 0;

   protected:
    ~Sleeper() = default;
  };

  HeldWakes() : outer_(std::exchange(current_, this)) {}
  ~HeldWakes() {
    current_ = outer_;
    for (const std::shared_ptr<Sleeper>& sleeper : sleepers_) sleeper->WakeIfNeeded();
  }
  HeldWakes(const HeldWakes&) = delete;
  HeldWakes& operator=(const HeldWakes&) = delete;

  // Returns the innermost one of this thread, or null.
  static HeldWakes* Current() { return current_; }

  // `sleeper` has work, and is woken later.
  void Add(std::shared_ptr<Sleeper> sleeper) {
    if (std::ranges::find(sleepers_, sleeper) == sleepers_.end())
      sleepers_.push_back(std::move(sleeper));
  }

 private:
  static inline thread_local constinit HeldWakes* current_ = nullptr;

  HeldWakes* const outer_;
  absl::InlinedVector<std::shared_ptr<Sleeper>, 4> sleepers_;
};

}  // namespace penstock
