// SPDX-License-Identifier: Apache-2.0
// How it works. A batch has one read for each key of Redis. Route divides its reads by the nodes
// that have their slots, and sends each node its part at once: a flight. A node answers in order.
//
// What can go wrong with a read, and what happens then:
// * the node says that another one has the slot: the read goes there, and the slot map is read anew
//   (MOVED), or only this read goes there (ASK);
// * the connection is lost: all its reads go to another node of the shard at once;
// * the node is late: after the 95th percentile of the time of answers a second node is asked, for
//   at most one flight in twenty; if it sends nothing at all it is stalled, and this limit does not
//   hold;
// * the answer is none, which Batch::Take decides: the other nodes of the shard are asked, and the
//   slot map is read anew. This goes on until the deadline, or until Batch::GoesOn ends it.
// The first answer counts. Later ones are read and dropped.
//
// Only one slot map is read at a time. While commands are open, a timer ticks each millisecond and
// checks all of this; else it ticks once a second.
#include "redis/cluster.h"

#include <algorithm>
#include <boost/asio/post.hpp>
#include <future>
#include <utility>

#include "base/executor.h"
#include "base/random.h"

namespace penstock::redis {
namespace {

constexpr Duration kTick = std::chrono::milliseconds(1);
constexpr Duration kIdleTick = std::chrono::seconds(1);
constexpr Duration kRefreshPause = std::chrono::milliseconds(20);
constexpr Duration kRefreshTimeout = std::chrono::milliseconds(200);
// A tick that is so late says more about this machine than about the nodes.
constexpr Duration kLateTick = std::chrono::milliseconds(8);
constexpr size_t kTimes = 256;
constexpr uint16_t kRedirectsInARow = 5;
constexpr double kHedgesPerFlight = 0.05;
constexpr double kHedgesInARow = 10;

bool MayPass(std::string_view error) {
  for (const std::string_view passing :
       {"CLUSTERDOWN", "TRYAGAIN", "LOADING", "MASTERDOWN", "BUSY", "READONLY", "MOVED", "ASK"}) {
    if (error.starts_with(passing)) return true;
  }
  return false;
}

// The answer to one command. One thread at a time.
class SingleCall final : public Batch {
 public:
  std::future<StatusOr<Value>> result() { return promise_.get_future(); }

  bool Take(size_t, size_t index, const Token& token) override {
    if (index == 0) builder_ = {};
    return builder_.Add(token);
  }
  std::string NameOf(size_t) const override { return name; }
  void Done(Status status) override {
    if (status.ok()) return promise_.set_value(builder_.Take());
    promise_.set_value(std::move(status));
  }

  std::string name;

 private:
  ValueBuilder builder_;
  std::promise<StatusOr<Value>> promise_;
};

// The answers of several nodes. One thread at a time.
template <typename T>
struct Answers {
  void Count() {
    if (--left == 0) done.set_value();
  }

  std::vector<T> values;
  size_t left = 1;  // that are missing, and one for whoever asks
  std::promise<void> done;
};

}  // namespace

StatusOr<std::unique_ptr<Cluster>> Cluster::Open(ClusterOptions options) {
  ASSIGN_OR_RETURN(TlsContextPtr tls, MakeTlsContext(options.tls));
  return std::unique_ptr<Cluster>(new Cluster(std::move(options), std::move(tls)));
}

Cluster::Cluster(ClusterOptions options, TlsContextPtr tls)
    : options_(std::move(options)),
      tls_(std::move(tls)),
      io_(1),
      work_(boost::asio::make_work_guard(io_)),
      timer_(io_),
      last_tick_(now()),
      hedge_after_(options_.hedge_after_min) {
  shard_of_slot_.fill(kNoShard);
  thread_ = std::thread([this] {
    SetThreadName("redis");
    for (const Address& seed : options_.seeds) FindOrAdd(seed)->Connect();
    ArmTimer(/*soon=*/true);
    EndEvent();
    io_.run();
  });
}

Cluster::~Cluster() {
  {
    MutexLock lock(mutex_);
    is_stopping_ = true;
  }
  boost::asio::post(io_, [this] { io_.stop(); });
  thread_.join();
  // The thread has ended, so this one stands in for it.
  TakeSubmitted();
  for (const std::shared_ptr<Batch>& batch : batches_)
    Close(*batch, Error(StatusCode::kUnavailable, "the client of the cluster ends"));
}

bool Cluster::Submit(std::shared_ptr<Batch> batch) {
  MutexLock lock(mutex_);
  if (is_stopping_ || open_ >= options_.batches_max) return false;
  ++open_;
  submitted_.push_back(std::move(batch));
  if (!std::exchange(is_woken_, true)) Wake();
  return true;
}

void Cluster::Wake() {
  boost::asio::post(io_, [this] {
    TakeSubmitted();
    EndEvent();
  });
}

void Cluster::TakeSubmitted() {
  std::vector<std::shared_ptr<Batch>> submitted;
  std::vector<absl::AnyInvocable<void()>> tasks;
  {
    MutexLock lock(mutex_);
    submitted.swap(submitted_);
    tasks.swap(tasks_);
    is_woken_ = false;
  }
  for (auto& task : tasks) task();
  for (std::shared_ptr<Batch>& batch : submitted) Start(std::move(batch));
}

StatusOr<Value> Cluster::Call(const std::string& key, std::string command) {
  auto call = std::make_shared<SingleCall>();
  call->name = key;
  call->commands = std::move(command);
  call->reads.push_back(
      {.slot = SlotOf(key), .begin = 0, .bytes = static_cast<uint32_t>(call->commands.size())});
  std::future<StatusOr<Value>> result = call->result();
  if (!Submit(call)) return Error(StatusCode::kUnavailable, "too many requests wait");
  return result.get();
}

std::vector<std::pair<Address, StatusOr<Value>>> Cluster::CallEach(std::string command) {
  // The callbacks share it with this call.
  auto answers = std::make_shared<Answers<std::pair<Address, StatusOr<Value>>>>();
  std::future<void> done = answers->done.get_future();
  const bool is_posted = Post([this, answers, command = std::move(command)] {
    for (auto& [address, node] : nodes_) {
      if (!node->is_ready() && node->is_wanted)
        answers->values.emplace_back(
            address, Error(StatusCode::kUnavailable, "{} is not connected", address.ToString()));
      if (!node->is_ready()) continue;
      ++answers->left;
      node->SendCommand(command, [answers, &address = address](StatusOr<Value> value) {
        answers->values.emplace_back(address, std::move(value));
        answers->Count();
      });
    }
    answers->Count();
  });
  if (!is_posted) return {};
  done.wait();
  return std::move(answers->values);
}

std::vector<MasterAnswer> Cluster::CallMasters(std::string command) {
  // The callbacks share it with this call.
  auto answers = std::make_shared<Answers<MasterAnswer>>();
  std::future<void> done = answers->done.get_future();
  const bool is_posted = Post([this, answers, command = std::move(command)] {
    // A master may be in several shards while the map changes.
    std::map<Node*, size_t> replicas;
    for (const Shard& shard : shards_) {
      size_t& count = replicas[shard.nodes.front()];
      count = std::max(count, shard.nodes.size() - 1);
    }
    for (const auto& [node, count] : replicas) {
      MasterAnswer answer = {
          node->address(), count,
          Error(StatusCode::kUnavailable, "{} is not connected", node->address().ToString())};
      if (!node->is_ready()) {
        answers->values.push_back(std::move(answer));
        continue;
      }
      ++answers->left;
      node->SendCommand(command,
                        [answers, answer = std::move(answer)](StatusOr<Value> value) mutable {
                          answer.value = std::move(value);
                          answers->values.push_back(std::move(answer));
                          answers->Count();
                        });
    }
    answers->Count();
  });
  if (!is_posted) return {};
  done.wait();
  return std::move(answers->values);
}

bool Cluster::Post(absl::AnyInvocable<void()> task) {
  MutexLock lock(mutex_);
  if (is_stopping_) return false;
  tasks_.push_back(std::move(task));
  if (!std::exchange(is_woken_, true)) Wake();
  return true;
}

void Cluster::Start(std::shared_ptr<Batch> batch) {
  batch->left_ = batch->reads.size();
  batch->ends_at_ = std::min(batch->deadline, now() + options_.answer_timeout);
  batches_.push_back(batch);
  if (batch->left_ == 0) return Close(*batch, OkStatus());
  std::vector<uint32_t> reads(batch->reads.size());
  for (uint32_t i = 0; i < reads.size(); ++i) reads[i] = i;
  Route(batch, reads);
  if (!timer_is_soon_) ArmTimer(/*soon=*/true);
}

void Cluster::Close(Batch& batch, Status status) {
  if (std::exchange(batch.is_closed_, true)) return;
  batch.waiting_.clear();
  {
    MutexLock lock(mutex_);
    --open_;
  }
  batch.Done(std::move(status));
}

Cluster::Shard* Cluster::ShardOf(uint16_t slot) {
  const uint16_t shard = shard_of_slot_[slot];
  return shard == kNoShard ? nullptr : &shards_[shard];
}

const Cluster::Shard* Cluster::ShardOf(uint16_t slot) const {
  const uint16_t shard = shard_of_slot_[slot];
  return shard == kNoShard ? nullptr : &shards_[shard];
}

bool Cluster::IsMaster(const Node& node, uint16_t slot) const {
  const Shard* const shard = ShardOf(slot);
  return shard != nullptr && shard->nodes.front() == &node;
}

Node* Cluster::Pick(const Batch& batch, const Read& read) const {
  const Shard* const shard = ShardOf(read.slot);
  if (shard == nullptr) return nullptr;
  if (batch.writes) return shard->nodes.front()->is_ready() ? shard->nodes.front() : nullptr;
  const size_t count = shard->nodes.size();
  // Replicas take turns.
  const size_t first = read.prefers_replica && count > 1 ? 1 + read.tries % (count - 1) : 0;
  Node* stalled = nullptr;
  for (size_t i = 0; i < count; ++i) {
    Node* const node = shard->nodes[(first + i) % count];
    if (!node->is_ready()) continue;
    if (!node->is_stalled()) return node;
    if (stalled == nullptr) stalled = node;
  }
  return stalled;
}

void Cluster::Route(const std::shared_ptr<Batch>& batch, std::span<const uint32_t> reads) {
  if (batch->is_closed_) return;
  for (const uint32_t number : reads) {
    const Read& read = batch->reads[number];
    Node* const node = Pick(*batch, read);
    if (node == nullptr) {
      WantRefresh();
      RetryLater(*batch, number);
      continue;
    }
    if (node->staged.empty()) staged_.push_back(node);
    node->staged.push_back(number);
  }
  SendStaged(batch);
}

void Cluster::SendStaged(const std::shared_ptr<Batch>& batch) {
  for (Node* const node : staged_) {
    Flight flight;
    flight.batch = batch;
    flight.reads = std::move(node->staged);
    node->staged.clear();
    uint64_t replica_reads = 0;
    for (const uint32_t number : flight.reads) {
      ++batch->reads[number].flights;
      if (!IsMaster(*node, batch->reads[number].slot)) ++replica_reads;
    }
    if (replica_reads > 0) Count(options_.counters.replica_reads, replica_reads);
    hedges_allowed_ = std::min(hedges_allowed_ + kHedgesPerFlight, kHedgesInARow);
    node->Send(std::move(flight));
  }
  staged_.clear();
}

void Cluster::SendAlone(const std::shared_ptr<Batch>& batch, uint32_t read, Node& node, bool asks) {
  Flight flight;
  flight.batch = batch;
  flight.reads = {read};
  flight.asks = asks;
  ++batch->reads[read].flights;
  node.Send(std::move(flight));
}

void Cluster::RetryLater(Batch& batch, uint32_t read) {
  if (batch.is_closed_) return;
  // The pause grows, so that a read that nobody can answer does not keep the cluster busy.
  const auto pause =
      std::chrono::milliseconds(std::clamp<uint16_t>(batch.reads[read].tries, 1, 20));
  batch.waiting_.push_back({read, now() + pause});
}

void Cluster::OnReady(Node&) {
  if (refresh_wanted_) Refresh();
}

void Cluster::OnLost(Node& node, std::deque<Flight> flights) {
  Count(options_.counters.node_failures);
  if (node.is_wanted) WantRefresh();
  for (Flight& flight : flights) {
    if (flight.batch == nullptr) {
      flight.done(node.last_problem);
      continue;
    }
    std::vector<uint32_t> again;
    for (size_t i = flight.next; i < flight.reads.size(); ++i) {
      Read& read = flight.batch->reads[flight.reads[i]];
      --read.flights;
      if (!read.is_done && read.flights == 0) again.push_back(flight.reads[i]);
      if (read.tries < UINT16_MAX) ++read.tries;
    }
    if (flight.batch->is_closed_ || again.empty()) continue;
    flight.batch->problem_ = node.last_problem;
    Count(options_.counters.retries, again.size());
    Route(flight.batch, again);
  }
}

void Cluster::OnAnswer(Node& node, Flight& flight, uint32_t number, std::string_view error) {
  const std::shared_ptr<Batch>& batch = flight.batch;
  Read& read = batch->reads[number];
  --read.flights;
  if (batch->is_closed_ || read.is_done) return;
  if (flight.is_good) {
    read.is_done = true;
    if (--batch->left_ == 0) Close(*batch, OkStatus());
    return;
  }
  if (read.tries < UINT16_MAX) ++read.tries;
  if (!error.empty()) {
    const StatusOr<Redirect> redirect = ParseRedirect(error, node.address().host);
    if (redirect.ok()) return OnRedirect(node, batch, number, *redirect);
    return OnReadError(node, batch, number, error);
  }
  batch->problem_ = Error(StatusCode::kUnavailable, "{} does not have {}",
                          node.address().ToString(), batch->NameOf(number));
  if (!batch->GoesOn()) return Close(*batch, batch->problem_);
  // A replica may be behind, and during a move of slots it does not know where the key is. So the
  // master is asked. If it does not know either, the map may be old.
  read.prefers_replica = IsMaster(node, read.slot);
  if (read.prefers_replica) WantRefresh();
  if (read.flights > 0) return;
  Count(options_.counters.retries);
  if (read.tries == 1) return Route(batch, {&number, 1});
  RetryLater(*batch, number);
}

void Cluster::OnRedirect(Node& from, const std::shared_ptr<Batch>& batch, uint32_t number,
                         const Redirect& redirect) {
  Count(options_.counters.redirects);
  Read& read = batch->reads[number];
  if (read.flights > 0) return;
  batch->problem_ = Error(StatusCode::kUnavailable, "{} says that {} has slot {}",
                          from.address().ToString(), redirect.to.ToString(), redirect.slot);
  Node* const to = FindOrAdd(redirect.to);
  if (!redirect.is_ask) {
    WantRefresh();
    Shard* const shard = ShardOf(read.slot);
    if (to != nullptr && to->is_ready() && (shard == nullptr || shard->nodes.front() != to)) {
      // Until the map is read anew, the slot has the shard of this master.
      auto found = std::ranges::find_if(
          shards_, [&](const Shard& other) { return other.nodes.front() == to; });
      if (found == shards_.end() && shards_.size() < kSlots)
        found = shards_.insert(shards_.end(), Shard{{to}});
      if (found != shards_.end())
        shard_of_slot_[read.slot] = static_cast<uint16_t>(found - shards_.begin());
    }
  }
  read.prefers_replica = false;
  if (to != nullptr) to->NoteRedirect();
  if (to != nullptr && !to->is_ready()) to->Connect();
  if (to == nullptr || !to->is_ready() || read.tries > kRedirectsInARow) {
    // The node may be wrong, or the other one may never be there: a replica may know better.
    read.prefers_replica = read.tries % 2 == 0;
    return RetryLater(*batch, number);
  }
  SendAlone(batch, number, *to, redirect.is_ask);
}

void Cluster::OnReadError(Node& node, const std::shared_ptr<Batch>& batch, uint32_t number,
                          std::string_view error) {
  Read& read = batch->reads[number];
  Status problem = Error(StatusCode::kUnavailable, "{}: {:.200}", node.address().ToString(), error);
  if (!MayPass(error)) {
    Close(*batch, Error(StatusCode::kFailedPrecondition, "{}: {}", batch->NameOf(number),
                        MessageOf(problem)));
    return;
  }
  batch->problem_ = std::move(problem);
  read.prefers_replica = IsMaster(node, read.slot);
  WantRefresh();
  if (read.flights > 0) return;
  Count(options_.counters.retries);
  if (read.tries == 1) return Route(batch, {&number, 1});
  RetryLater(*batch, number);
}

void Cluster::OnFlightEnd(Node&, const Flight& flight) { NoteTime(now() - flight.sent); }

void Cluster::NoteTime(Duration time) {
  if (times_.size() < kTimes) {
    times_.push_back(time);
  } else {
    times_[next_time_ % kTimes] = time;
  }
  if (++next_time_ % (kTimes / 4) != 0) return;
  std::vector<Duration> sorted = times_;
  const auto at = sorted.begin() + static_cast<ptrdiff_t>(sorted.size() * 95 / 100);
  std::nth_element(sorted.begin(), at, sorted.end());
  hedge_after_ = std::clamp(*at, options_.hedge_after_min,
                            std::max(options_.hedge_after_min, options_.stall_time));
}

void Cluster::ScheduleFlush(Node& node) {
  if (!std::exchange(node.flush_scheduled, true)) dirty_.push_back(&node);
}

void Cluster::EndEvent() {
  // A flush may fail, and its reads go to another node.
  for (size_t i = 0; i < dirty_.size(); ++i) {
    dirty_[i]->flush_scheduled = false;
    dirty_[i]->Flush();
  }
  dirty_.clear();
}

void Cluster::ArmTimer(bool soon) {
  timer_is_soon_ = soon;
  const Duration idle =
      options_.poll ? std::min(kIdleTick, std::max(kTick, options_.poll_interval)) : kIdleTick;
  timer_.expires_after(soon ? kTick : idle);
  timer_.async_wait([this](const boost::system::error_code& error) {
    if (error) return;
    OnTimer();
    EndEvent();
  });
}

void Cluster::OnTimer() {
  const SteadyTime time = now();
  const bool is_late = timer_is_soon_ && time - last_tick_ > kTick + kLateTick;
  last_tick_ = time;
  bool is_busy = is_refreshing_;
  // If this thread has slept, answers may lie in the sockets, and the nodes are not to blame.
  for (auto& [address, node] : nodes_) {
    if (!is_late) {
      node->OnTick();
      if (node->is_ready()) HedgeLate(*node);
    }
    is_busy = is_busy || node->is_connecting() || !node->flights().empty();
  }
  CheckBatches();
  if (time - refreshed_at_ > options_.refresh_interval) refresh_wanted_ = true;
  if (is_refreshing_ && time - refreshed_at_ > kRefreshTimeout) is_refreshing_ = false;
  if (refresh_wanted_) Refresh();
  if (options_.poll && has_slots_ && time - polled_at_ >= options_.poll_interval) {
    polled_at_ = time;
    options_.poll(*this);
  }
  ArmTimer(is_busy || !batches_.empty());
}

void Cluster::CheckBatches() {
  const SteadyTime time = now();
  std::vector<uint32_t> due;
  for (auto at = batches_.begin(); at != batches_.end();) {
    // The list gives its share up before the batch could be closed in Route.
    const std::shared_ptr<Batch> batch = *at;
    if (!batch->is_closed_ && batch->cancel != nullptr && batch->cancel->IsCancelled())
      Close(*batch, Error(OutcomeOf(StatusCode::kCancelled, batch->cancel), "it was cancelled"));
    if (!batch->is_closed_ && time >= batch->ends_at_) {
      const Status& problem = !batch->problem_.ok() ? batch->problem_ : slots_problem_;
      Close(*batch, Error(batch->ends_at_ == batch->deadline ? StatusCode::kDeadlineExceeded
                                                             : StatusCode::kUnavailable,
                          "the cluster has not answered in time: {}",
                          problem.ok() ? "it is slow" : MessageOf(problem)));
    }
    if (batch->is_closed_) {
      at = batches_.erase(at);
      continue;
    }
    ++at;
    due.clear();
    std::erase_if(batch->waiting_, [&](const Batch::Waiting& waiting) {
      if (waiting.at > time) return false;
      due.push_back(waiting.read);
      return true;
    });
    if (!due.empty()) Route(batch, due);
  }
}

void Cluster::HedgeLate(Node& node) {
  const SteadyTime time = now();
  for (Flight& flight : node.flights()) {
    if (flight.batch == nullptr || flight.is_hedged) continue;
    if (!node.is_stalled() && time - flight.sent <= hedge_after_) return;
    if (!node.is_stalled() && hedges_allowed_ < 1) return;
    if (Hedge(node, flight) && !node.is_stalled()) hedges_allowed_ -= 1;
  }
}

bool Cluster::Hedge(Node& node, Flight& flight) {
  if (flight.batch->is_closed_ || flight.batch->writes) return false;
  uint64_t sent = 0;
  for (size_t i = flight.next; i < flight.reads.size(); ++i) {
    const Read& read = flight.batch->reads[flight.reads[i]];
    if (read.is_done || read.flights > 1) continue;
    const Shard* const shard = ShardOf(read.slot);
    if (shard == nullptr) continue;
    for (Node* const other : shard->nodes) {
      if (other == &node || !other->is_ready() || other->is_stalled()) continue;
      if (other->staged.empty()) staged_.push_back(other);
      other->staged.push_back(flight.reads[i]);
      ++sent;
      break;
    }
  }
  if (sent == 0) return false;
  flight.is_hedged = true;
  Count(options_.counters.hedges, sent);
  SendStaged(flight.batch);
  return true;
}

Node* Cluster::FindOrAdd(const Address& address) {
  const auto found = nodes_.find(address);
  if (found != nodes_.end()) return found->second.get();
  if (nodes_.size() >= kNodesMax) return nullptr;
  NodeOwner& owner = *this;
  return nodes_.emplace(address, std::make_unique<Node>(io_, tls_.get(), options_, address, owner))
      .first->second.get();
}

void Cluster::WantRefresh() {
  refresh_wanted_ = true;
  if (!timer_is_soon_) ArmTimer(/*soon=*/true);
}

void Cluster::Refresh() {
  if (is_refreshing_ || (has_slots_ && now() - refreshed_at_ < kRefreshPause)) return;
  std::vector<Node*> ready;
  for (auto& [address, node] : nodes_) {
    if (node->is_ready() && !node->is_stalled()) ready.push_back(node.get());
    if (!node->last_problem.ok() && !has_slots_) slots_problem_ = node->last_problem;
  }
  if (ready.empty()) {
    // The nodes of the map may be gone, and the seeds have other names for those that are there.
    for (const Address& seed : options_.seeds) FindOrAdd(seed)->Connect();
    return;
  }
  Node& node = *ready[RandomBits() % ready.size()];
  refresh_wanted_ = false;
  is_refreshing_ = true;
  refreshed_at_ = now();
  const std::array<std::string_view, 2> command = {"CLUSTER", "SLOTS"};
  node.SendCommand(MakeCommand(command),
                   [this, &node, number = ++refresh_number_](StatusOr<Value> answer) {
                     // An answer that comes after its time is not used: there is a newer one.
                     if (number == refresh_number_ && is_refreshing_)
                       OnSlots(node.address(), std::move(answer));
                   });
}

void Cluster::OnSlots(const Address& from, StatusOr<Value> answer) {
  is_refreshing_ = false;
  Status status = answer.status();
  if (status.ok()) {
    const StatusOr<std::vector<SlotRange>> ranges = ParseSlots(*answer, from.host);
    status = ranges.ok() ? ApplySlots(*ranges) : ranges.status();
  }
  if (status.ok()) {
    Count(options_.counters.refreshes);
  } else {
    slots_problem_ =
        Error(StatusCode::kUnavailable, "{}: no slot map: {}", from.ToString(), MessageOf(status));
    refresh_wanted_ = true;
  }
}

Status Cluster::ApplySlots(const std::vector<SlotRange>& ranges) {
  if (ranges.empty()) return InvalidArgument("no node has slots yet");
  if (ranges.size() > kSlots) return InvalidArgument("there are more ranges than slots");
  shards_.clear();
  shard_of_slot_.fill(kNoShard);
  for (auto& [address, node] : nodes_) node->is_wanted = false;
  std::map<std::vector<Node*>, uint16_t> numbers;
  for (const SlotRange& range : ranges) {
    Shard shard;
    for (const Address& address : range.nodes) {
      Node* const node = FindOrAdd(address);
      if (node == nullptr) return InvalidArgument("there are more than {} nodes", kNodesMax);
      node->is_wanted = true;
      shard.nodes.push_back(node);
      node->Connect();
    }
    // A shard may have many ranges.
    const auto [number, is_new] =
        numbers.emplace(shard.nodes, static_cast<uint16_t>(shards_.size()));
    if (is_new) shards_.push_back(std::move(shard));
    for (size_t slot = range.first; slot <= range.last; ++slot)
      shard_of_slot_[slot] = number->second;
  }
  has_slots_ = true;
  slots_problem_ = OkStatus();
  // Reads that had no node may have one now.
  for (const std::shared_ptr<Batch>& batch : batches_)
    for (Batch::Waiting& waiting : batch->waiting_) waiting.at = {};
  return OkStatus();
}

void Cluster::Count(Counter* counter, uint64_t count) {
  if (counter != nullptr) counter->Add(count);
}

}  // namespace penstock::redis
