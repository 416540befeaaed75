// SPDX-License-Identifier: Apache-2.0
// A loop of the server, for connections to other servers.
#pragma once

#include <boost/asio/io_context.hpp>
#include <functional>
#include <memory>
#include <vector>

#include "net/loop/loop.h"
#include "net/socket/io_loop.h"

namespace penstock::net {

// Lets an event loop serve connections to other servers beside those of its clients. So a call that
// a request causes changes no thread. It may outlive the event loop, whose sockets use it until
// then; afterwards it only drops tasks. Owned by loop, except Post and IsCurrent, which are
// thread-safe.
class ServerIoLoop final : public IoLoop {
 public:
  // `end_event` is what the event loop does at the end of each callback of Asio.
  ServerIoLoop(std::shared_ptr<Loop> loop, boost::asio::io_context& io,
               std::function<void()> end_event);

  void Post(Task task) override { loop_->Post(std::move(task)); }
  bool IsCurrent() const override { return loop_->IsCurrent(); }
  boost::asio::io_context& io() override { return io_; }
  TimerWheel& timers() override { return loop_->timers(); }
  const Clock& clock() const override;
  void ScheduleFlush(FlushTarget& target) override { loop_->ScheduleFlush(target); }
  void ForgetFlush(FlushTarget& target) override { loop_->ForgetFlush(target); }
  SteadyTime BeginInput() override;
  void EndEvent() override { end_event_(); }
  bool AddUser(LoopUser& user) override;
  void RemoveUser(LoopUser& user) override { std::erase(users_, &user); }

  // Tells the users that the loop ends. The event loop calls it once.
  void End();

 private:
  const std::shared_ptr<Loop> loop_;
  boost::asio::io_context& io_;
  const std::function<void()> end_event_;
  std::vector<LoopUser*> users_;
  bool has_ended_ = false;
};

}  // namespace penstock::net
