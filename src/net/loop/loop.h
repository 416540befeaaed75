// SPDX-License-Identifier: Apache-2.0
// The shared state of one event loop, for its connections, sessions and calls. It does not depend
// on Asio: EventLoop runs it, and a test or a fuzzer calls RunPosted and FinishBurst itself.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <string_view>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "base/calls/held_wakes.h"
#include "base/calls/turn_end.h"
#include "base/mutex.h"
#include "net/loop/allowance.h"
#include "net/loop/incomplete_requests.h"
#include "net/loop/timer_wheel.h"
#include "net/loop/turn.h"

namespace penstock::net {

class ServerState;

// An object with output that is flushed at the end of the burst: a connection. Owned by loop.
class FlushTarget {
 public:
  virtual ~FlushTarget() = default;
  // Writes what is queued. May schedule the flush of another target.
  virtual void Flush() = 0;
};

// An object that lives as long as the loop, such as a pool. Owned by loop.
class LoopLocal {
 public:
  virtual ~LoopLocal() = default;
  // Frees all unused objects but `kept` of each kind. Returns about how many bytes it freed.
  virtual size_t Shrink(size_t kept) = 0;
};
// One key for each kind of pool. A new pool needs a key here, so that Shutdown and ShrinkPools
// reach it.
enum class LoopLocalKey {
  kHttpCalls,
  kGrpcCalls,
  kBodies1K,
  kBodies4K,
  kBodies16K,
  kOutput,
  kHttp2Streams,
  kHttp2Memory,
  kCount
};

// One event loop: its task queue, its timers, its pools, and its shares of the server's limits.
// Another thread reaches a loop only by Post:
//
//   loop->Post([call = GrpcCallRef(call)] { ... });  // the task runs on the loop's thread
//
// Code on the loop needs no lock for anything that the loop owns. It must not block, since all
// connections of the loop wait meanwhile; a task of more than about a millisecond belongs on the
// compute pool. The loop's thread keeps the object alive, and so do the calls made on it, which may
// outlive the server. Owned by loop, except where a function says that it is thread-safe.
class Loop final : public HeldWakes::Sleeper, public std::enable_shared_from_this<Loop> {
 public:
  using Task = absl::AnyInvocable<void()>;

  // `wake` must make the loop's thread call RunPosted soon. It is called from any thread, once for
  // a burst of tasks.
  Loop(std::shared_ptr<ServerState> server, std::function<void()> wake);
  ~Loop();
  Loop(const Loop&) = delete;
  Loop& operator=(const Loop&) = delete;

  // Posts `task` to the loop. False: the loop has ended, and the task was dropped. The queue needs
  // no limit of its own: a call has at most one answer, one read and one write under way, and the
  // number of calls is limited. Thread-safe.
  bool Post(Task task) EXCLUDES(mutex_);
  void WakeIfNeeded() override EXCLUDES(mutex_);
  // Returns the loop that runs on this thread, or null. Thread-safe. A thread has a current loop
  // while a LoopScope lasts on it.
  static Loop* Current();
  bool IsCurrent() const { return Current() == this; }

  // Runs the tasks that were posted before this call, in their order, then FinishBurst. Tasks that
  // these tasks post run at the next call.
  void RunPosted() EXCLUDES(mutex_);
  // Makes FinishBurst flush `target`. The target must remember that it is scheduled: a second call
  // in the same burst would flush it twice. It must call ForgetFlush before it is destroyed.
  void ScheduleFlush(FlushTarget& target) { dirty_.push_back(&target); }
  // `target` will be destroyed: cancels its flush.
  void ForgetFlush(FlushTarget& target);
  // Call it at the end of each event. Ends the turn, and flushes all scheduled targets.
  void FinishBurst();
  // Empties the pools, and destroys the tasks that have not run. From now on Post returns false,
  // and what calls give back must not go to a pool (is_shut_down). Call it once, when the loop's
  // thread has ended, on a thread with a LoopScope of this loop.
  void Shutdown() EXCLUDES(mutex_);
  bool is_shut_down() const { return is_shut_down_; }

  // The state outlives the loop, but its router, metrics and clock live only until Shutdown.
  ServerState& server() { return *server_; }
  TimerWheel& timers() { return timers_; }
  // Counts memory of bodies and other input in the server's budget. A full budget takes memory back
  // from incomplete requests of connections that have never completed one. False: that was not
  // enough, so refuse the request. Give the bytes back to body_bytes().
  [[nodiscard]] bool TryTakeBodyBytes(uint64_t bytes) {
    return body_bytes_.TryTake(bytes) || TryTakeBackBodyBytes(bytes);
  }
  LocalAllowance& body_bytes() { return body_bytes_; }
  // Another loop may have found too few of these requests to take memory from. Then this loop takes
  // it back. Call it about once a second.
  void TakeBackForOtherLoops();
  // The pool with this key, null until its first user makes it. See LoopPool::Of.
  std::unique_ptr<LoopLocal>& local(LoopLocalKey key) { return locals_[static_cast<size_t>(key)]; }

  // Shrinks all pools. Returns about how many bytes that freed.
  size_t ShrinkPools(size_t kept);

  // Counts a request that begins to be served. False if the server's limit is reached. For each
  // true result EndRequest must follow, when the answer is given and the handler is done.
  [[nodiscard]] bool TryBeginRequest();
  // Thread-safe.
  void EndRequest();
  // The requests that have begun and not ended. Thread-safe.
  int64_t open_requests() const { return open_requests_.load(std::memory_order_relaxed); }

  IncompleteRequests& incomplete_requests() { return incomplete_requests_; }
  // The turn of the connection whose input is being handled. The connection begins it; the session
  // counts its requests in it.
  Turn& turn() { return turn_; }
  // What handlers of requests do when the input of this turn is handled. Run it before the answers
  // are flushed.
  TurnEnd& turn_end() { return turn_end_; }

  // Unique in the server.
  uint64_t NextRequestId();
  // How many ids were given.
  uint64_t request_count() const { return request_count_; }

  // "Sun, 06 Nov 1994 08:49:37 GMT" of the current second.
  std::string_view HttpDate();

 private:
  friend class LoopScope;

  void Wake() REQUIRES(mutex_);
  // The slow half of TryTakeBodyBytes. Notes a shortage for the other loops if it fails.
  bool TryTakeBackBodyBytes(uint64_t bytes);

  const std::shared_ptr<ServerState> server_;
  const std::function<void()> wake_;

  TimerWheel timers_;
  LocalAllowance requests_;
  LocalAllowance body_bytes_;
  IncompleteRequests incomplete_requests_;
  uint64_t shortages_seen_ = 0;  // of ServerState::body_shortages
  Turn turn_;
  TurnEnd turn_end_;
  std::array<std::unique_ptr<LoopLocal>, static_cast<size_t>(LoopLocalKey::kCount)> locals_;
  uint64_t next_request_id_ = 0;
  uint64_t request_ids_left_ = 0;  // of the lot that begins at next_request_id_
  uint64_t request_count_ = 0;
  std::vector<FlushTarget*> dirty_;  // to be flushed; null: forgotten meanwhile
  std::vector<Task> running_;        // keeps its capacity between bursts
  int64_t date_second_ = -1;
  char date_[32] = {};
  std::atomic<int64_t> open_requests_{0};
  std::atomic<bool> is_shut_down_{false};

  Mutex mutex_;
  std::vector<Task> posted_ GUARDED_BY(mutex_);
  bool is_woken_ GUARDED_BY(mutex_) = false;  // RunPosted will be called
  bool closed_ GUARDED_BY(mutex_) = false;
};

// Makes `loop` the current loop of this thread. One thread.
class LoopScope final {
 public:
  explicit LoopScope(Loop& loop);
  ~LoopScope();
  LoopScope(const LoopScope&) = delete;
  LoopScope& operator=(const LoopScope&) = delete;

 private:
  Loop* const previous_;
  TurnEnd* const previous_turn_end_;
};

}  // namespace penstock::net
