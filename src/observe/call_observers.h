// SPDX-License-Identifier: Apache-2.0
// Passes each call to several observers.
#pragma once

#include <algorithm>
#include <memory>
#include <utility>
#include <vector>

#include "net/call_observer.h"

namespace penstock {

// Passes each call to several observers, in the order in which they were added. Its filter is the
// union of theirs, so an observer may get calls that it does not want, and must check.
//
//   CallObservers observers;
//   observers.Add(std::move(access_log));  // null if it is off
//   observers.Add(std::move(tracer));
//   net_options.observer = &observers;     // before the server starts
//
// Fixed once the server has started; thread-safe as its observers are.
class CallObservers final : public net::CallObserver {
 public:
  // Null: adds nothing.
  void Add(std::unique_ptr<net::CallObserver> observer) {
    if (observer == nullptr) return;
    if (observer->observes_starts()) start_observers_.push_back(observer.get());
    observers_.push_back(std::move(observer));
  }

  CallFilter filter() const override {
    CallFilter all;
    for (const auto& observer : observers_) {
      const CallFilter filter = observer->filter();
      all.all |= filter.all;
      all.errors |= filter.errors;
      all.slow_min = std::min(all.slow_min, filter.slow_min);
    }
    return all;
  }
  bool observes_starts() const override { return !start_observers_.empty(); }
  void OnCallStart(net::Call& call) override {
    for (net::CallObserver* const observer : start_observers_) observer->OnCallStart(call);
  }
  void OnCallEnd(const net::Call& call) override {
    for (const auto& observer : observers_) observer->OnCallEnd(call);
  }

 private:
  std::vector<std::unique_ptr<net::CallObserver>> observers_;
  std::vector<net::CallObserver*> start_observers_;  // those of them that observe starts
};

}  // namespace penstock
