// SPDX-License-Identifier: Apache-2.0
// Runs one Loop: the thread, Asio's io_context, the connections and the clock tick.
#pragma once

#include <array>
#include <atomic>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <deque>
#include <memory>
#include <span>
#include <thread>
#include <vector>

#include "net/loop/loop.h"
#include "net/loop/retired.h"
#include "net/loop/server_state.h"
#include "net/socket/server_io_loop.h"

namespace penstock::net {

struct CutCalls;  // net/http/session.h
class TlsContext;

// The size of the memory that all connections of a loop read into. Its contents must be used before
// the next read.
inline constexpr size_t kScratchBytes = 128 * 1024;

// A connection as its loop sees it. The loop owns it until it is retired, and calls it on its own
// thread only. Connection is the only implementation besides those of tests. Owned by loop.
class LoopConnection {
 public:
  virtual ~LoopConnection() = default;
  // Begins to read. Called once, by Adopt.
  virtual void Start() = 0;
  // Ends the connection when its requests are answered. May retire the connection before it
  // returns.
  virtual void StartDrain() = 0;
  // The server stops, and waits no longer: answers the open calls with an error and adds them to
  // `cut`. The connection closes when that is sent.
  virtual void CutOff(CutCalls& cut) = 0;
  // Checks timeouts. Called about once a second, more often if a timeout is short
  // (ServerState::TickInterval). May retire the connection before it returns.
  virtual void OnTick(SteadyTime now) = 0;
  // Takes the next turn, which EventLoop::ContinueLater has asked for.
  virtual void Continue() = 0;
  // Closes at once and drops queued output. Called at the end of the loop; no other call follows.
  virtual void Abort() = 0;

 private:
  friend class EventLoop;
  size_t index_ = 0;  // in the loop's list of connections
};

// One loop and its thread. The constructor starts the thread. Other threads reach it by Post:
//
//   EventLoop loop(state, tls.get(), 0);
//   loop.CountConnection();
//   loop.Post([&loop, socket] { loop.Adopt(MakeConnection(loop, socket)); });
//   ...
//   loop.Stop();  // before the destructor
//
// An event is one callback of Asio; each must end with EndEvent, which flushes the output of the
// event. See event_loop.cc. Owned by loop, except where a function says that it is thread-safe.
class EventLoop final {
 public:
  // `tls` may be null, and must outlive the loop. `index` becomes part of the thread's name,
  // "net-0".
  EventLoop(std::shared_ptr<ServerState> server, TlsContext* tls, int index);
  ~EventLoop();
  EventLoop(const EventLoop&) = delete;
  EventLoop& operator=(const EventLoop&) = delete;

  // Closes all connections and joins the thread. Open calls are cancelled, and their later answers
  // are dropped. Another thread calls it once, before the destructor.
  void Stop();
  // Posts `task` to the loop. False if the loop has ended. Thread-safe.
  bool Post(Loop::Task task) { return loop_->Post(std::move(task)); }
  // Starts a connection, and owns it from now on.
  void Adopt(std::unique_ptr<LoopConnection> connection);
  // The connections that are open, or posted but not adopted yet. Thread-safe.
  int connection_count() const { return connection_count_.load(std::memory_order_relaxed); }
  // Call it before Adopt is posted. Thread-safe.
  void CountConnection() { connection_count_.fetch_add(1, std::memory_order_relaxed); }
  // Starts the drain of every connection: it ends when its requests are answered. Returns at once.
  void StartDrain();
  // The same for the end of the drain. Adds the calls that are cut off to `cut`.
  void CutOff(CutCalls& cut);

  Loop& loop() { return *loop_; }
  // For connections to other servers.
  const std::shared_ptr<ServerIoLoop>& io_loop() const { return io_loop_; }
  // For sockets and timers of this loop. Their handlers run on the loop's thread.
  boost::asio::io_context& io() { return io_; }
  // Null if no port has TLS.
  TlsContext* tls() { return tls_; }
  // Memory that all connections read into, one after the other. kBufferSlack more bytes may be read
  // behind it.
  std::span<std::byte> scratch() { return {scratch_.get(), kScratchBytes}; }

  // Call it at the end of each event. Flushes, and sets the timer.
  void EndEvent();
  // Destroys `connection` in a later event, since it may be on the call stack now. REQUIRES: it is
  // closed, and no operation of Asio or of this loop refers to it.
  void Retire(LoopConnection& connection);
  // Calls `connection.Continue()` later, after the connections that wait already. The loop checks
  // the sockets for new input between two such calls. The connection must not be destroyed before.
  void ContinueLater(LoopConnection& connection);

 private:
  // The event of posted tasks.
  void Run();
  // Gives the connection that waits longest its turn.
  void ContinueOne();
  // Sets timer_ for the next deadline of a call, unless it rings before that anyway.
  void ArmTimer();
  void ArmTick();
  void OnTick();
  bool ReleaseMemory(SteadyTime now);
  void ReserveRecords();

  const std::shared_ptr<ServerState> server_;
  TlsContext* const tls_;
  const std::unique_ptr<std::byte[]> scratch_;
  std::shared_ptr<ServerIoLoop> io_loop_;  // before io_, whose sockets use it until they end
  boost::asio::io_context io_;
  boost::asio::executor_work_guard<boost::asio::io_context::executor_type> work_;
  const std::shared_ptr<Loop> loop_;
  boost::asio::steady_timer timer_;
  SteadyTime timer_at_ = kNoDeadline;
  boost::asio::steady_timer tick_;
  bool is_ticking_ = false;
  const Duration tick_interval_;
  std::vector<std::unique_ptr<LoopConnection>> connections_;  // in no order
  Retired<LoopConnection> retired_;
  std::deque<LoopConnection*> waiting_;  // for their next turn
  std::atomic<int> connection_count_{0};

  size_t records_ = 0;  // see ReserveRecords

  // Used to free memory after a peak of load.
  bool may_shrink_ = false;
  bool is_busy_ = false;
  SteadyTime shrunk_at_;
  size_t connections_closed_ = 0;  // since shrunk_at_
  uint64_t requests_seen_ = 0;     // at the last tick
  std::thread thread_;
};

}  // namespace penstock::net
