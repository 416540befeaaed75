// SPDX-License-Identifier: Apache-2.0
// An event loop, as connections to other servers see it.
#pragma once

#include <boost/asio/io_context.hpp>

#include "absl/functional/any_invocable.h"
#include "base/clock.h"
#include "net/loop/loop.h"
#include "net/loop/timer_wheel.h"

namespace penstock::net {

// Something with connections on a loop, which may end before them. Owned by loop.
class LoopUser {
 public:
  // The loop ends now: closes what is open. No call of the loop follows.
  virtual void OnLoopEnd() = 0;

 protected:
  ~LoopUser() = default;
};

// A loop for connections to other servers: one of the server's (EventLoop), or one of their own
// (ClientLoop). Owned by loop, except Post and IsCurrent, which are thread-safe.
class IoLoop {
 public:
  using Task = absl::AnyInvocable<void()>;

  virtual ~IoLoop() = default;

  // Runs `task` on the loop's thread. Tasks run in their order. If the loop has ended, the task is
  // destroyed instead.
  virtual void Post(Task task) = 0;
  // True on the loop's thread.
  virtual bool IsCurrent() const = 0;

  virtual boost::asio::io_context& io() = 0;
  virtual TimerWheel& timers() = 0;
  virtual const Clock& clock() const = 0;
  // Makes the end of the event flush `target`. See Loop::ScheduleFlush.
  virtual void ScheduleFlush(FlushTarget& target) = 0;
  virtual void ForgetFlush(FlushTarget& target) = 0;
  // Call it when input has arrived, before the input is used. Returns the time.
  virtual SteadyTime BeginInput() = 0;
  // Call it at the end of each callback of Asio. Flushes, and sets the timer.
  virtual void EndEvent() = 0;

  // `user` is told when the loop ends, unless it is removed before. False: the loop has ended.
  virtual bool AddUser(LoopUser& user) = 0;
  virtual void RemoveUser(LoopUser& user) = 0;
};

}  // namespace penstock::net
