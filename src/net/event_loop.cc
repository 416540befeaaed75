// SPDX-License-Identifier: Apache-2.0
#include "net/event_loop.h"

#include <fmt/format.h>
#include <unistd.h>

#include <boost/asio/post.hpp>

#include "base/executor.h"
#include "net/body_buffer.h"
#include "net/connection.h"

namespace penstock::net {
namespace {

// Memory of big bodies goes back to the system when it has not been used for so long.
constexpr Duration kBufferIdleTime = std::chrono::seconds(10);
constexpr int kOneThread = 1;  // Asio's concurrency hint

}  // namespace

EventLoop::EventLoop(std::shared_ptr<ServerState> server, TlsContext* tls, int index)
    : server_(std::move(server)),
      tls_(tls),
      scratch_(new std::byte[kScratchBytes + kBufferSlack]),
      io_(kOneThread),
      work_(boost::asio::make_work_guard(io_)),
      loop_(std::make_shared<Loop>(server_, [this] { boost::asio::post(io_, [this] { Run(); }); })),
      timer_(io_),
      tick_(io_),
      tick_interval_(server_->TickInterval()) {
  thread_ = std::thread([this, index] {
    SetThreadName(fmt::format("net-{}", index));
    const LoopScope scope(*loop_);
    io_.run();
  });
}

EventLoop::~EventLoop() = default;

void EventLoop::Stop() {
  loop_->Post([this] {
    // Sessions cancel the calls that are still open, on the loop.
    for (auto& connection : connections_) connection->Abort();
    io_.stop();
  });
  thread_.join();
  const LoopScope scope(*loop_);
  connections_.clear();
  retired_.clear();
  loop_->Shutdown();
}

void EventLoop::Run() {
  loop_->RunPosted();
  EndEvent();
}

void EventLoop::Adopt(int socket, bool is_tls, std::string peer) {
  auto connection = std::make_unique<Connection>(*this, socket, is_tls, std::move(peer));
  connection->set_index(connections_.size());
  Connection& added = *connection;
  connections_.push_back(std::move(connection));
  server_->metrics.connections_open.Add(1);
  if (!is_ticking_) ArmTick();
  added.Start();
}

void EventLoop::Retire(Connection& connection) {
  const size_t index = connection.index();
  retired_.push_back(std::move(connections_[index]));
  if (index + 1 < connections_.size()) {
    connections_[index] = std::move(connections_.back());
    connections_[index]->set_index(index);
  }
  connections_.pop_back();
  server_->metrics.connections_open.Add(-1);
  connection_count_.fetch_sub(1, std::memory_order_release);
  if (server_->is_draining()) server_->NotifyEnd();
}

void EventLoop::StartDrain() {
  // Backwards: a connection that ends at once is replaced by the last one.
  for (size_t i = connections_.size(); i-- > 0;) connections_[i]->StartDrain();
}

void EventLoop::EndEvent() {
  loop_->FinishBurst();
  if (!loop_->timers().empty()) ArmTimer();
  retired_.clear();
}

void EventLoop::ArmTimer() {
  const SteadyTime now = server_->clock.Now();
  const SteadyTime next = loop_->timers().NextRun(now);
  if (next >= timer_at_) return;
  timer_at_ = next;
  timer_.expires_after(next - now);
  timer_.async_wait([this](const boost::system::error_code& error) {
    if (error) return;  // set anew
    timer_at_ = kNoDeadline;
    loop_->timers().Run(server_->clock.Now());
    EndEvent();
  });
}

void EventLoop::ArmTick() {
  is_ticking_ = true;
  tick_.expires_after(tick_interval_);
  tick_.async_wait([this](const boost::system::error_code& error) {
    if (!error) OnTick();
  });
}

void EventLoop::OnTick() {
  const SteadyTime now = server_->clock.Now();
  for (size_t i = connections_.size(); i-- > 0;) connections_[i]->OnTick(now);
  EndEvent();
  BigBufferPool& buffers = *server_->big_buffers;
  buffers.Trim(std::chrono::steady_clock::now() - kBufferIdleTime);
  // An idle server sleeps.
  is_ticking_ = !connections_.empty() || buffers.resident_bytes() > 0;
  if (is_ticking_) ArmTick();
}

}  // namespace penstock::net
