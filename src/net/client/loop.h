// SPDX-License-Identifier: Apache-2.0
// A thread of its own for connections to other servers.
#pragma once

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <string>
#include <thread>
#include <vector>

#include "base/clock.h"
#include "base/mutex.h"
#include "net/loop/timer_wheel.h"
#include "net/socket/io_loop.h"

namespace penstock::net {

// An event loop for clients, without a server. Tasks of one burst are flushed together. Without
// connections it sleeps.
//
// Owned by loop, except Post and IsCurrent, which are thread-safe.
class ClientLoop final : public IoLoop {
 public:
  // Starts the thread.
  explicit ClientLoop(std::string thread_name);
  // For tests in virtual time: it has no thread, and works in Turn. `clock` must outlive it.
  explicit ClientLoop(const Clock& clock);
  // Runs the tasks that were posted, and joins the thread. REQUIRES: all channels are closed.
  ~ClientLoop() override;
  ClientLoop(const ClientLoop&) = delete;
  ClientLoop& operator=(const ClientLoop&) = delete;

  void Post(Task task) override EXCLUDES(mutex_);
  bool IsCurrent() const override;

  boost::asio::io_context& io() override { return io_; }
  TimerWheel& timers() override { return timers_; }
  const Clock& clock() const override { return clock_; }
  void ScheduleFlush(FlushTarget& target) override { dirty_.push_back(&target); }
  void ForgetFlush(FlushTarget& target) override;
  SteadyTime BeginInput() override { return clock_.Now(); }
  void EndEvent() override;
  // All channels are closed before its end.
  bool AddUser(LoopUser&) override { return true; }
  void RemoveUser(LoopUser&) override {}

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
