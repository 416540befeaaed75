// SPDX-License-Identifier: Apache-2.0
// The same clockwork as EventLoop has (net/socket/event_loop.cc), for clients.
#include "net/client/loop.h"

#include <algorithm>
#include <boost/asio/post.hpp>
#include <utility>

#include "base/executor.h"

namespace penstock::net {
namespace {

thread_local const ClientLoop* current_loop = nullptr;

}  // namespace

ClientLoop::ClientLoop(std::string thread_name)
    : clock_(Clock::Real()),
      has_thread_(true),
      io_(/*concurrency_hint=*/1),
      work_(boost::asio::make_work_guard(io_)),
      timer_(io_) {
  thread_ = std::thread([this, name = std::move(thread_name)] {
    SetThreadName(name);
    current_loop = this;
    io_.run();
  });
}

ClientLoop::ClientLoop(const Clock& clock)
    : clock_(clock), has_thread_(false), work_(boost::asio::make_work_guard(io_)), timer_(io_) {}

ClientLoop::~ClientLoop() {
  if (!has_thread_) {
    Turn();
    return;
  }
  Post([this] {
    timer_.cancel();
    work_.reset();
  });
  thread_.join();
}

bool ClientLoop::IsCurrent() const { return current_loop == this; }

void ClientLoop::Post(Task task) {
  bool is_first = false;
  {
    MutexLock lock(mutex_);
    is_first = posted_.empty();
    posted_.push_back(std::move(task));
  }
  if (is_first && has_thread_) boost::asio::post(io_, [this] { RunPosted(); });
}

bool ClientLoop::RunPosted() {
  {
    MutexLock lock(mutex_);
    running_.swap(posted_);
  }
  const bool has_run = !running_.empty();
  for (Task& task : running_) task();
  running_.clear();
  EndEvent();
  return has_run;
}

void ClientLoop::Turn() {
  do {
    timers_.Run(clock_.Now());
  } while (RunPosted());
}

void ClientLoop::ForgetFlush(FlushTarget& target) {
  std::ranges::replace(dirty_, &target, nullptr);
}

void ClientLoop::EndEvent() {
  // A flush may schedule others.
  for (size_t i = 0; i < dirty_.size(); ++i) {
    if (dirty_[i] != nullptr) dirty_[i]->Flush();
  }
  dirty_.clear();
  if (has_thread_ && !timers_.empty()) ArmTimer();
}

void ClientLoop::ArmTimer() {
  const SteadyTime now = clock().Now();
  const SteadyTime next = timers_.NextRun(now);
  // The timer that is set runs first, and sets the next one then.
  if (next >= timer_at_) return;
  timer_at_ = next;
  timer_.expires_after(next - now);
  timer_.async_wait([this](const boost::system::error_code& error) {
    if (error) return;  // it was set again
    timer_at_ = kNoDeadline;
    timers_.Run(clock().Now());
    EndEvent();
  });
}

}  // namespace penstock::net
