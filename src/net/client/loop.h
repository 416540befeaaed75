// SPDX-License-Identifier: Apache-2.0
// The thread of connections to other servers.
#pragma once

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <string>
#include <thread>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "base/clock.h"
#include "base/mutex.h"
#include "net/loop/loop.h"
#include "net/loop/timer_wheel.h"

namespace penstock::net {

// An event loop for clients. It has no part of the server's limits, and no connection of the
// server, so that slow servers elsewhere delay no request of ours. Tasks of one burst are flushed
// together. Without connections it sleeps.
//
// Owned by loop, except Post, which is thread-safe.
class ClientLoop final {
 public:
  using Task = absl::AnyInvocable<void()>;

  // Starts the thread.
  explicit ClientLoop(std::string thread_name);
  // For tests in virtual time: it has no thread, and works in Turn. `clock` must outlive it.
  explicit ClientLoop(const Clock& clock);
  // Runs the tasks that were posted, and joins the thread. REQUIRES: all channels are closed.
  ~ClientLoop();
  ClientLoop(const ClientLoop&) = delete;
  ClientLoop& operator=(const ClientLoop&) = delete;

  // Runs `task` on the loop's thread. Tasks run in their order. Thread-safe.
  void Post(Task task) EXCLUDES(mutex_);
  // True on the loop's thread. Thread-safe.
  bool IsCurrent() const;

  boost::asio::io_context& io() { return io_; }
  TimerWheel& timers() { return timers_; }
  const Clock& clock() const { return clock_; }
  // Makes the end of the event flush `target`. See Loop::ScheduleFlush.
  void ScheduleFlush(FlushTarget& target) { dirty_.push_back(&target); }
  void ForgetFlush(FlushTarget& target);
  // Call it at the end of each callback of Asio. Flushes, and sets the timer.
  void EndEvent();
  // Runs what was posted and the timers whose time has come, until there are none. REQUIRES: there
  // is no thread.
  void Turn() EXCLUDES(mutex_);

 private:
  // False: nothing was posted.
  bool RunPosted() EXCLUDES(mutex_);
  void ArmTimer();

  const Clock& clock_;
  const bool has_thread_;
  boost::asio::io_context io_;
  boost::asio::executor_work_guard<boost::asio::io_context::executor_type> work_;
  TimerWheel timers_;
  boost::asio::steady_timer timer_;
  SteadyTime timer_at_ = kNoDeadline;
  std::vector<FlushTarget*> dirty_;  // null: forgotten meanwhile
  std::vector<Task> running_;

  Mutex mutex_;
  std::vector<Task> posted_ GUARDED_BY(mutex_);

  std::thread thread_;
};

}  // namespace penstock::net
