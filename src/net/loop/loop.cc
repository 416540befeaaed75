// SPDX-License-Identifier: Apache-2.0
// How it works. A loop is a list of tasks and the state that its connections share. Other threads
// reach it only by Post: they add a task under a lock, and the first task of a burst wakes the
// thread. All other state of the loop has no lock, because only the loop's thread touches it.
//
// Some limits hold for the whole server: requests, bodies, ids. Each loop takes from them in lots
// (LocalAllowance), so that a small request does not write to memory that other loops write to as
// well.
//
// A call may outlive its loop, because a model may still run when the server stops. So the call
// holds the Loop object. After Shutdown a task is refused, and what the call gives back goes to the
// server's allowance and not to the loop's.
#include "net/loop/loop.h"

#include <algorithm>
#include <ctime>
#include <utility>

#include "base/calls/thread_time.h"
#include "net/loop/server_state.h"

namespace penstock::net {
namespace {

// What a loop takes from a limit of the server at a time. A larger lot means fewer writes to shared
// memory, but more that one loop holds and another cannot use.
constexpr uint64_t kRequestLot = 64;
constexpr uint64_t kBodyBytesLot = 1 << 20;
constexpr uint64_t kRequestIdLot = 1024;
// Input leaves this part of the budget to tensors and answers. So complete requests and the pages
// of the server itself are served while clients fill the budget with bodies.
constexpr uint64_t kKeptPart = 16;

thread_local Loop* current_loop = nullptr;

}  // namespace

LoopScope::LoopScope(Loop& loop)
    : previous_(std::exchange(current_loop, &loop)),
      previous_turn_end_(TurnEnd::SetCurrent(&loop.turn_end())) {}
LoopScope::~LoopScope() {
  current_loop = previous_;
  TurnEnd::SetCurrent(previous_turn_end_);
}

Loop::Loop(std::shared_ptr<ServerState> server, std::function<void()> wake)
    : server_(std::move(server)),
      wake_(std::move(wake)),
      requests_(server_->requests, server_->options.loops, kRequestLot),
      body_bytes_(server_->body_bytes, server_->options.loops, kBodyBytesLot,
                  server_->body_bytes.total() / kKeptPart),
      incomplete_requests_(server_->incomplete_requests, server_->options.loops,
                           server_->options.incomplete_requests_per_connection_max) {}

Loop::~Loop() = default;

Loop* Loop::Current() { return current_loop; }

bool Loop::Post(Task task) {
  MutexLock lock(mutex_);
  if (closed_) return false;
  posted_.push_back(std::move(task));
  if (is_woken_) return true;
  if (HeldWakes* const held = HeldWakes::Current(); held != nullptr) {
    held->Add(shared_from_this());
  } else {
    Wake();
  }
  return true;
}

void Loop::WakeIfNeeded() {
  MutexLock lock(mutex_);
  if (!closed_ && !posted_.empty() && !is_woken_) Wake();
}

void Loop::Wake() {
  is_woken_ = true;
  // Under the lock, because the objects that `wake_` uses are destroyed after Shutdown.
  wake_();
}

void Loop::RunPosted() {
  {
    MutexLock lock(mutex_);
    running_.swap(posted_);
    is_woken_ = false;
  }
  // Without the lock, because a task may post another one. That one waits for the next call, so
  // tasks that post tasks do not keep the sockets waiting.
  if (!running_.empty()) ThreadTime::Read(server_->clock);
  for (Task& task : running_) task();
  running_.clear();
  FinishBurst();
}

void Loop::ForgetFlush(FlushTarget& target) {
  // Do not erase it: FinishBurst may be walking the list, and goes by index.
  std::replace(dirty_.begin(), dirty_.end(), &target, static_cast<FlushTarget*>(nullptr));
}

void Loop::FinishBurst() {
  turn_end_.Run();
  // By index, because a flush may schedule others.
  for (size_t i = 0; i < dirty_.size(); ++i)
    if (FlushTarget* target = dirty_[i]; target != nullptr) target->Flush();
  dirty_.clear();
}

void Loop::Shutdown() {
  std::vector<Task> dropped;
  {
    MutexLock lock(mutex_);
    closed_ = true;
    dropped.swap(posted_);
  }
  // Set the flag before the dropped tasks are destroyed. A task may hold the last reference of a
  // call, and the call then frees itself instead of going to a pool that is about to end.
  is_shut_down_.store(true, std::memory_order_release);
  dropped.clear();
  for (auto& local : locals_) local.reset();
}

size_t Loop::ShrinkPools(size_t kept) {
  size_t bytes = 0;
  for (auto& local : locals_)
    if (local != nullptr) bytes += local->Shrink(kept);
  return bytes;
}

bool Loop::TryTakeBackBodyBytes(uint64_t bytes) {
  if (incomplete_requests_.TryTakeBack(body_bytes_, bytes)) return true;
  server_->body_shortages.fetch_add(1, std::memory_order_relaxed);
  return false;
}

void Loop::TakeBackForOtherLoops() {
  const uint64_t shortages = server_->body_shortages.load(std::memory_order_relaxed);
  if (shortages == shortages_seen_) return;
  shortages_seen_ = shortages;
  const Allowance& budget = server_->body_bytes;
  // Bodies may not use the kept part of the budget. So leave as much again for them.
  incomplete_requests_.DropUntilLeft(budget, 2 * (budget.total() / kKeptPart));
}

bool Loop::TryBeginRequest() {
  if (!requests_.TryTake(1)) {
    server_->metrics.limit_requests.Add();
    return false;
  }
  open_requests_.fetch_add(1, std::memory_order_relaxed);
  return true;
}

void Loop::EndRequest() {
  // A model's thread may end the request. `requests_` has no lock, so this thread gives to the
  // shared allowance.
  if (IsCurrent() && !is_shut_down_.load(std::memory_order_relaxed)) {
    requests_.Give(1);
  } else {
    server_->requests.Give(1);
  }
  open_requests_.fetch_sub(1, std::memory_order_release);
  // After the count has gone down, since the thread that drains reads the count when it wakes.
  if (server_->is_draining()) server_->NotifyEnd();
}

uint64_t Loop::NextRequestId() {
  if (request_ids_left_ == 0) {
    next_request_id_ = server_->TakeRequestIds(kRequestIdLot);
    request_ids_left_ = kRequestIdLot;
  }
  --request_ids_left_;
  ++request_count_;
  return next_request_id_++;
}

std::string_view Loop::HttpDate() {
  const std::time_t now = std::time(nullptr);
  if (now != date_second_) {
    date_second_ = now;
    std::tm parts;
    gmtime_r(&now, &parts);
    std::strftime(date_, sizeof date_, "%a, %d %b %Y %H:%M:%S GMT", &parts);
  }
  // The form has the same length for every date (RFC 9110, section 5.6.7).
  return {date_, 29};
}

}  // namespace penstock::net
