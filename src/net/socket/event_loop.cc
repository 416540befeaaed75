// SPDX-License-Identifier: Apache-2.0
// How it works. An event is one callback of Asio: a read, a timer, a tick, or the posted tasks.
// During an event, sessions only queue output and ask for a flush. EndEvent then flushes all of it,
// so that a burst of requests costs few system calls. A closed connection may be on the call stack
// of the event, so it is destroyed in a later one (Retired).
//
// Two clocks. `timer_` runs the timer wheel, and is set only for the earliest deadline of a call.
// `tick_` runs about once a second, and checks the timeouts of all connections. So a received byte
// needs no timer of its own. When there is no connection and nothing to release, the tick stops,
// and an idle server does not wake at all.
//
// Fairness. A connection with more input than fits into its turn waits in `waiting_`. ContinueOne
// serves one of them and goes back to Asio, which looks at the sockets again. So new input of other
// connections comes in between.
#include "net/socket/event_loop.h"

#include <fmt/format.h>
#include <sys/eventfd.h>

#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/post.hpp>

#include "base/executor.h"
#include "net/loop/big_buffer_pool.h"

namespace penstock::net {
namespace {

// Buffers of big bodies are unmapped when they were unused for this long.
constexpr Duration kBufferIdleTime = std::chrono::seconds(10);
// How often the pools are shrunk, and how many objects of each kind stay while there are
// connections. These few cost almost nothing, and a busy loop fills its pools again quickly.
constexpr Duration kPoolIdleTime = std::chrono::seconds(10);
constexpr size_t kPooledKept = 16;
// A loop with at most this many requests in a tick, and none open, can afford a pause of some
// milliseconds.
constexpr uint64_t kQuietRequests = 16;
// See ReserveRecords.
constexpr size_t kRecordsInARow = 64;
constexpr size_t kConnectionBytes = 2560;  // that the end of a connection frees, about
constexpr int kOneThread = 1;              // Asio's concurrency hint

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
      tick_interval_(server_->TickInterval()),
      retired_(server_->clock, [this](Retired<LoopConnection>::Task task) {
        boost::asio::post(io_, [this, task = std::move(task)] {
          task();
          EndEvent();
        });
      }) {
  io_loop_ = std::make_shared<ServerIoLoop>(loop_, io_, [this] { EndEvent(); });
  thread_ = std::thread([this, index] {
    SetThreadName(fmt::format("net-{}", index));
    const LoopScope scope(*loop_);
    io_.run();
  });
}

EventLoop::~EventLoop() = default;

void EventLoop::Stop() {
  loop_->Post([this] {
    // On the loop, because sessions cancel their open calls there.
    for (auto& connection : connections_) connection->Abort();
    io_loop_->End();
    io_.stop();
  });
  thread_.join();
  // The loop's thread has ended, and this one stands in for it. So what the connections free goes
  // to the pools, which Shutdown then empties.
  const LoopScope scope(*loop_);
  connections_.clear();
  retired_.DestroyAll();
  loop_->Shutdown();
}

void EventLoop::Run() {
  loop_->turn().Begin();
  loop_->RunPosted();
  EndEvent();
}

// Asio allocates a small record for each descriptor, and keeps it for ever. If records were
// allocated one by one, between the memory of connections, each could keep a page from being
// returned to the system later. So this allocates a row of records next to each other, with
// descriptors that are closed at once.
void EventLoop::ReserveRecords() {
  records_ += kRecordsInARow;
  std::vector<boost::asio::posix::stream_descriptor> row;
  row.reserve(kRecordsInARow);
  while (row.size() < kRecordsInARow) {
    const int handle = eventfd(0, EFD_CLOEXEC);
    if (handle < 0) break;  // no descriptor left: do without
    row.emplace_back(io_, handle);
  }
}

void EventLoop::Adopt(std::unique_ptr<LoopConnection> connection) {
  if (connections_.size() >= records_) ReserveRecords();
  LoopConnection& added = *connection;
  added.index_ = connections_.size();
  connections_.push_back(std::move(connection));
  server_->metrics.connections_open.Add(1);
  if (!is_ticking_) ArmTick();
  may_shrink_ = true;
  added.Start();
}

void EventLoop::Retire(LoopConnection& connection) {
  const size_t index = connection.index_;
  retired_.Add(std::move(connections_[index]));
  // The last one takes the free position, so that closing one of thousands of connections takes
  // constant time.
  if (index + 1 < connections_.size()) {
    connections_[index] = std::move(connections_.back());
    connections_[index]->index_ = index;
  }
  connections_.pop_back();
  ++connections_closed_;
  server_->metrics.connections_open.Add(-1);
  connection_count_.fetch_sub(1, std::memory_order_release);
  if (server_->is_draining()) server_->NotifyEnd();
}

void EventLoop::ContinueLater(LoopConnection& connection) {
  waiting_.push_back(&connection);
  if (waiting_.size() == 1) boost::asio::post(io_, [this] { ContinueOne(); });
}

void EventLoop::ContinueOne() {
  LoopConnection& connection = *waiting_.front();
  waiting_.pop_front();
  const bool has_more = !waiting_.empty();
  connection.Continue();
  if (has_more) boost::asio::post(io_, [this] { ContinueOne(); });
  EndEvent();
}

void EventLoop::StartDrain() {
  // Backwards, because a connection that ends at once is replaced by the last one.
  for (size_t i = connections_.size(); i-- > 0;) connections_[i]->StartDrain();
}

void EventLoop::CutOff(CutCalls& cut) {
  for (size_t i = connections_.size(); i-- > 0;) connections_[i]->CutOff(cut);
}

void EventLoop::EndEvent() {
  loop_->FinishBurst();
  if (!loop_->timers().empty()) ArmTimer();
}

void EventLoop::ArmTimer() {
  const SteadyTime now = server_->clock.Now();
  const SteadyTime next = loop_->timers().NextRun(now);
  // The timer that is set runs first, and sets the next one then. Setting a timer may be a system
  // call. A call that ends long before its deadline, which is the usual case, causes none.
  if (next >= timer_at_) return;
  timer_at_ = next;
  timer_.expires_after(next - now);
  timer_.async_wait([this](const boost::system::error_code& error) {
    if (error) return;  // the timer was set again
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
  loop_->TakeBackForOtherLoops();
  EndEvent();
  BigBufferPool& buffers = *server_->big_buffers;
  buffers.Trim(std::chrono::steady_clock::now() - kBufferIdleTime);
  const uint64_t reserved = buffers.Report(server_->metrics.body_reserved_bytes);
  // Tick only while there is something to do, so that an idle server sleeps.
  const bool has_more_to_release = ReleaseMemory(now);
  is_ticking_ = !connections_.empty() || reserved > 0 || has_more_to_release;
  if (is_ticking_) ArmTick();
}

// Frees the memory that a peak has left in the pools. Returns false if nothing is left to do.
bool EventLoop::ReleaseMemory(SteadyTime now) {
  IdleMemory& memory = server_->idle_memory;
  if (may_shrink_ && now - shrunk_at_ >= kPoolIdleTime) {
    shrunk_at_ = now;
    may_shrink_ = !connections_.empty() || !retired_.empty();
    const size_t freed = loop_->ShrinkPools(may_shrink_ ? kPooledKept : 0);
    memory.NoteFreed(freed + std::exchange(connections_closed_, 0) * kConnectionBytes);
    connections_.shrink_to_fit();
  }
  const uint64_t requests = loop_->request_count() - requests_seen_;
  requests_seen_ += requests;
  // malloc_trim may delay every loop by milliseconds. So all loops report whether they are busy,
  // and the first quiet one trims when none is.
  const bool is_busy = loop_->open_requests() > 0 || requests > kQuietRequests;
  if (is_busy != is_busy_) {
    is_busy_ = is_busy;
    memory.NoteBusy(is_busy);
  }
  if (!is_busy) memory.TrimIfQuiet();
  return may_shrink_ || is_busy;
}

}  // namespace penstock::net
