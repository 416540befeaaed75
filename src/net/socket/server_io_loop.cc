// SPDX-License-Identifier: Apache-2.0
#include "net/socket/server_io_loop.h"

#include <utility>

#include "base/calls/thread_time.h"
#include "net/loop/server_state.h"

namespace penstock::net {

ServerIoLoop::ServerIoLoop(std::shared_ptr<Loop> loop, boost::asio::io_context& io,
                           std::function<void()> end_event)
    : loop_(std::move(loop)), io_(io), end_event_(std::move(end_event)) {}

const Clock& ServerIoLoop::clock() const { return loop_->server().clock; }

SteadyTime ServerIoLoop::BeginInput() {
  loop_->turn().Begin();
  return ThreadTime::Read(clock());
}

bool ServerIoLoop::AddUser(LoopUser& user) {
  if (has_ended_) return false;
  users_.push_back(&user);
  return true;
}

void ServerIoLoop::End() {
  has_ended_ = true;
  // The end of one may end others.
  while (!users_.empty()) {
    LoopUser& user = *users_.back();
    users_.pop_back();
    user.OnLoopEnd();
  }
}

}  // namespace penstock::net
