// SPDX-License-Identifier: Apache-2.0
// A client of a Redis cluster (or Valkey, or Kvrocks): it sends each command to the node that has
// its key, and finds another one if that fails.
#pragma once

#include <array>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <list>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "base/mutex.h"
#include "base/status.h"
#include "redis/batch.h"
#include "redis/node.h"
#include "redis/options.h"

namespace penstock::redis {

// What a master has answered.
struct MasterAnswer {
  Address address;
  size_t replicas = 0;  // that the slot map names
  StatusOr<Value> value;
};

// A cluster, its nodes, and a thread with a loop of its own for all of them.
//
//   auto batch = std::make_shared<HashBatch>(...);   // a Batch
//   if (!cluster.Submit(batch)) return Unavailable();
//   ...                                               // later, on another thread: batch->Done
//
// Submit and Call are thread-safe; all else is owned by loop of its own thread.
class Cluster final : private NodeOwner {
 public:
  // Begins to connect, and does not wait for it. Errors: INVALID_ARGUMENT for TLS files.
  static StatusOr<std::unique_ptr<Cluster>> Open(ClusterOptions options);
  // Batches that wait get UNAVAILABLE.
  ~Cluster() override;

  // False: too many batches wait. Done is then never called.
  [[nodiscard]] bool Submit(std::shared_ptr<Batch> batch) EXCLUDES(mutex_);
  // Sends a command about `key`, whose answer is a single value. Blocks, so call it when a table is
  // loaded. Errors: UNAVAILABLE; FAILED_PRECONDITION with an error of Redis.
  StatusOr<Value> Call(const std::string& key, std::string command);
  // Asks every node of the slot map. UNAVAILABLE for those that are not connected. Blocks.
  std::vector<std::pair<Address, StatusOr<Value>>> CallEach(std::string command);
  // Asks every master, on the connection that its writes take. UNAVAILABLE for those that are not
  // connected. Blocks.
  std::vector<MasterAnswer> CallMasters(std::string command);

 private:
  // The nodes that have some slots: the master, then its replicas.
  struct Shard {
    std::vector<Node*> nodes;
  };
  static constexpr uint16_t kNoShard = UINT16_MAX;

  Cluster(ClusterOptions options, TlsContextPtr tls);

  void OnReady(Node& node) override;
  void OnLost(Node& node, std::deque<Flight> flights) override;
  void OnAnswer(Node& node, Flight& flight, uint32_t read, std::string_view error) override;
  void OnFlightEnd(Node& node, const Flight& flight) override;
  void ScheduleFlush(Node& node) override;
  void EndEvent() override;
  SteadyTime now() const override { return std::chrono::steady_clock::now(); }

  void Wake();
  // Runs it on the cluster's thread. False: the client ends.
  bool Post(absl::AnyInvocable<void()> task) EXCLUDES(mutex_);
  void TakeSubmitted() EXCLUDES(mutex_);
  void Start(std::shared_ptr<Batch> batch);
  void Close(Batch& batch, Status status);
  // Sends the reads to the nodes that have them. Those that nobody can answer now wait.
  void Route(const std::shared_ptr<Batch>& batch, std::span<const uint32_t> reads);
  void SendStaged(const std::shared_ptr<Batch>& batch);
  Node* Pick(const Batch& batch, const Read& read) const;
  Shard* ShardOf(uint16_t slot);
  const Shard* ShardOf(uint16_t slot) const;
  void SendAlone(const std::shared_ptr<Batch>& batch, uint32_t read, Node& node, bool asks);
  void RetryLater(Batch& batch, uint32_t read);
  void OnRedirect(Node& from, const std::shared_ptr<Batch>& batch, uint32_t read,
                  const Redirect& redirect);
  void OnReadError(Node& node, const std::shared_ptr<Batch>& batch, uint32_t read,
                   std::string_view error);

  void ArmTimer(bool soon);
  void OnTimer();
  void CheckBatches();
  void HedgeLate(Node& node);
  // Asks other nodes for what the flight lacks. False: there is none that could be asked.
  bool Hedge(Node& node, Flight& flight);
  void NoteTime(Duration time);
  bool IsMaster(const Node& node, uint16_t slot) const;

  Node* FindOrAdd(const Address& address);
  void WantRefresh();
  void Refresh();
  void OnSlots(const Address& from, StatusOr<Value> answer);
  Status ApplySlots(const std::vector<SlotRange>& ranges);
  static void Count(Counter* counter, uint64_t count = 1);

  // Fixed after construction.
  const ClusterOptions options_;
  const TlsContextPtr tls_;

  boost::asio::io_context io_;
  boost::asio::executor_work_guard<boost::asio::io_context::executor_type> work_;
  boost::asio::steady_timer timer_;
  bool timer_is_soon_ = false;
  SteadyTime polled_at_;
  SteadyTime last_tick_;
  std::map<Address, std::unique_ptr<Node>> nodes_;
  std::vector<Shard> shards_;
  std::array<uint16_t, kSlots> shard_of_slot_;
  bool has_slots_ = false;
  std::vector<Node*> dirty_;
  std::vector<Node*> staged_;                  // those with reads that are about to be sent
  std::list<std::shared_ptr<Batch>> batches_;  // that are not closed, or just were

  bool refresh_wanted_ = true;
  bool is_refreshing_ = false;
  uint64_t refresh_number_ = 0;
  SteadyTime refreshed_at_;
  Status slots_problem_;

  std::vector<Duration> times_;  // of the last flights, in a ring
  size_t next_time_ = 0;
  Duration hedge_after_;
  double hedges_allowed_ = 10;

  mutable Mutex mutex_;
  std::vector<std::shared_ptr<Batch>> submitted_ GUARDED_BY(mutex_);
  std::vector<absl::AnyInvocable<void()>> tasks_ GUARDED_BY(mutex_);
  size_t open_ GUARDED_BY(mutex_) = 0;  // batches that have no answer
  bool is_woken_ GUARDED_BY(mutex_) = false;
  bool is_stopping_ GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

}  // namespace penstock::redis
