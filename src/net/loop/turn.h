// SPDX-License-Identifier: Apache-2.0
// Bounds the work that one connection may cause before the other connections of its loop get their
// turn. Few bytes may hold thousands of requests, so a bound of bytes alone is not enough.
#pragma once

#include <cstdint>

#include "base/clock.h"

namespace penstock::net {

// A turn is over when its requests have taken this long. The answers are written afterwards.
inline constexpr Duration kTurnTimeMax = std::chrono::milliseconds(1);
// The clock is read for every so many requests, and not for the first ones. So an event with few
// requests, which is the usual case, never reads it.
inline constexpr uint32_t kRequestsPerClockRead = 8;

// The current turn of a loop. The connection begins it before it gives input to its session. The
// session counts each request, and stops at a true result:
//
//   if (loop.turn().CountRequest()) host.Yield();  // Session::Continue is called later
//
// Owned by loop.
class Turn final {
 public:
  // Begins the turn of a connection.
  void Begin(Duration time_max = kTurnTimeMax) {
    requests_ = 0;
    is_over_ = false;
    has_begun_ = true;
    time_max_ = time_max;
  }
  // Counts a request. True: the turn is over, so the connection must leave the rest of its input
  // for a later turn. Always false before the first Begin.
  [[nodiscard]] bool CountRequest() {
    if (++requests_ % kRequestsPerClockRead == 0 && has_begun_) ReadClock();
    return is_over_;
  }

 private:
  void ReadClock() {
    const SteadyTime now = std::chrono::steady_clock::now();
    if (requests_ == kRequestsPerClockRead) since_ = now;
    is_over_ = requests_ > kRequestsPerClockRead && now - since_ >= time_max_;
  }

  uint32_t requests_ = 0;  // in this turn
  bool has_begun_ = false;
  bool is_over_ = false;
  Duration time_max_ = kTurnTimeMax;
  SteadyTime since_;
};

}  // namespace penstock::net
