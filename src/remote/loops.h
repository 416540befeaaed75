// SPDX-License-Identifier: Apache-2.0
// The threads that all remote models share.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/mutex.h"
#include "net/client/channel.h"
#include "net/client/dns.h"
#include "net/client/loop.h"

namespace penstock::remote {

// The threads with the connections of all remote models, and the one that asks the DNS.
// Thread-safe.
class RemoteLoops final {
 public:
  // `dns_time_limit`: for each look-up.
  RemoteLoops(int64_t count, Duration dns_time_limit);
  using MakeChannel = std::function<std::shared_ptr<net::UnaryChannel>(const std::string& address)>;
  // For tests in virtual time: a loop without a thread, and connections that `make` makes.
  RemoteLoops(std::unique_ptr<net::ClientLoop> loop, MakeChannel make);

  size_t size() const { return loops_.size(); }
  net::ClientLoop& at(size_t index) { return *loops_[index]; }
  // The loop for a new request: each in turn.
  size_t Next() { return next_.fetch_add(1, std::memory_order_relaxed) % loops_.size(); }
  net::DnsThread& dns() { return dns_; }
  // A channel on this loop.
  std::shared_ptr<net::UnaryChannel> Connect(size_t index, net::ChannelOptions options);

 private:
  std::vector<std::unique_ptr<net::ClientLoop>> loops_;
  std::atomic<size_t> next_{0};
  const MakeChannel make_channel_;  // null: real ones
  net::DnsThread dns_;              // ends before the loops, to which it gives its answers
};

// Makes the threads when the first remote version needs them. They end with the last one.
// Thread-safe.
class RemoteLoopsOwner final {
 public:
  RemoteLoopsOwner(int64_t count, Duration dns_time_limit)
      : count_(count), dns_time_limit_(dns_time_limit) {}
  // Shared, because versions are unloaded in any order, also after this has gone.
  std::shared_ptr<RemoteLoops> Get() EXCLUDES(mutex_);

 private:
  const int64_t count_;
  const Duration dns_time_limit_;
  Mutex mutex_;
  std::weak_ptr<RemoteLoops> loops_ GUARDED_BY(mutex_);
};

}  // namespace penstock::remote
