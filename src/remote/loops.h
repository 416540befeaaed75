// SPDX-License-Identifier: Apache-2.0
// The loops that all remote models share.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/mutex.h"
#include "net/client/channel.h"
#include "net/client/dns.h"
#include "net/client/loop.h"

namespace penstock::remote {

using ServerLoops = std::vector<std::shared_ptr<net::IoLoop>>;

// The loops with the connections of all remote models, and the thread that asks the DNS. The first
// loops are threads of their own: loop 0 keeps the lists of targets, and asks the targets how they
// are. Then come the loops of the server. A request that begins on one of these stays there, so it
// changes no thread. The server's loops may end before the versions do; then only loops of our own
// are used. Thread-safe.
class RemoteLoops final {
 public:
  // `dns_time_limit`: for each look-up.
  RemoteLoops(int64_t count, Duration dns_time_limit);
  using MakeChannel = std::function<std::shared_ptr<net::UnaryChannel>(const std::string& address)>;
  // For tests in virtual time: a loop without a thread, and connections that `make` makes.
  RemoteLoops(std::unique_ptr<net::ClientLoop> loop, MakeChannel make);

  // Adds the loops of the server. Call it once, before a version is loaded.
  void UseServerLoops(ServerLoops loops) { server_loops_ = std::move(loops); }

  size_t size() const { return loops_.size() + server_loops_.size(); }
  net::IoLoop& at(size_t index) {
    if (index < loops_.size()) return *loops_[index];
    return *server_loops_[index - loops_.size()];
  }
  // The loop for a new request: that of the caller, if it is one of the server's; else each of our
  // own in turn.
  size_t ForCaller();
  net::DnsThread& dns() { return dns_; }
  // A channel on this loop.
  std::shared_ptr<net::UnaryChannel> Connect(size_t index, net::ChannelOptions options);

 private:
  std::vector<std::unique_ptr<net::ClientLoop>> loops_;
  ServerLoops server_loops_;
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
  // Requests use these loops, too. Call it once, before a version is loaded.
  void UseServerLoops(ServerLoops loops) EXCLUDES(mutex_);
  // Shared, because versions are unloaded in any order, also after this has gone.
  std::shared_ptr<RemoteLoops> Get() EXCLUDES(mutex_);

 private:
  const int64_t count_;
  const Duration dns_time_limit_;
  Mutex mutex_;
  std::weak_ptr<RemoteLoops> loops_ GUARDED_BY(mutex_);
  ServerLoops server_loops_ GUARDED_BY(mutex_);
};

}  // namespace penstock::remote
