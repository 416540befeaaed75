// SPDX-License-Identifier: Apache-2.0
// Runs one Loop: its thread, Asio's io_context, its connections and their clock tick.
#pragma once

#include <array>
#include <atomic>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <memory>
#include <span>
#include <string>
#include <thread>
#include <vector>

#include "net/loop.h"
#include "net/server_state.h"

namespace penstock::net {

class Connection;
class TlsContext;

// Memory that every connection of a loop reads into: what is in it is used before the next read.
inline constexpr size_t kScratchBytes = 128 * 1024;

// One loop and its thread. Owned by loop, but for what is marked thread-safe.
class EventLoop final {
 public:
  // `tls` may be null. `index` is for the thread's name.
  EventLoop(std::shared_ptr<ServerState> server, TlsContext* tls, int index);
  ~EventLoop();
  EventLoop(const EventLoop&) = delete;
  EventLoop& operator=(const EventLoop&) = delete;

  // Closes what is open, and joins. Called once, before the destructor, by another thread.
  void Stop();
  // Has the loop run `task`; false if it has ended. Thread-safe.
  bool Post(Loop::Task task) { return loop_->Post(std::move(task)); }
  // Serves an accepted socket, which it owns from now on. `endpoint` outlives the calls.
  void Adopt(int socket, const Endpoint& endpoint, std::string peer);
  // Connections that are open or on their way. Thread-safe.
  int connection_count() const { return connection_count_.load(std::memory_order_relaxed); }
  // To be called before Adopt is posted. Thread-safe.
  void CountConnection() { connection_count_.fetch_add(1, std::memory_order_relaxed); }
  // Tells every connection to end when its requests are answered.
  void StartDrain();

  Loop& loop() { return *loop_; }
  boost::asio::io_context& io() { return io_; }
  TlsContext* tls() { return tls_; }
  std::span<std::byte> scratch() { return {scratch_.get(), kScratchBytes}; }

  // At the end of each event: flushes, sets the timer, frees what is closed.
  void EndEvent();
  // `connection` is closed and has no operation under way; it is destroyed at the event's end.
  void Retire(Connection& connection);

 private:
  void Run();
  void ArmTimer();
  void ArmTick();
  void OnTick();
  bool ReleaseMemory(SteadyTime now);
  void ReserveRecords();

  const std::shared_ptr<ServerState> server_;
  TlsContext* const tls_;
  const std::unique_ptr<std::byte[]> scratch_;
  boost::asio::io_context io_;
  boost::asio::executor_work_guard<boost::asio::io_context::executor_type> work_;
  const std::shared_ptr<Loop> loop_;
  boost::asio::steady_timer timer_;
  SteadyTime timer_at_ = kNoDeadline;
  boost::asio::steady_timer tick_;
  bool is_ticking_ = false;
  const Duration tick_interval_;
  std::vector<std::unique_ptr<Connection>> connections_;
  std::vector<std::unique_ptr<Connection>> retired_;
  std::atomic<int> connection_count_{0};

  size_t records_ = 0;  // see ReserveRecords

  // What a peak may have left behind.
  bool may_shrink_ = false;
  bool is_busy_ = false;
  SteadyTime shrunk_at_;
  size_t connections_closed_ = 0;  // since then
  uint64_t requests_seen_ = 0;     // at the last tick
  std::thread thread_;
};

}  // namespace penstock::net
