// SPDX-License-Identifier: Apache-2.0
#include "remote/loops.h"

#include <fmt/format.h>

#include <utility>

namespace penstock::remote {

RemoteLoops::RemoteLoops(int64_t count, Duration dns_time_limit) : dns_(dns_time_limit) {
  for (int64_t i = 0; i < count; ++i)
    loops_.push_back(std::make_unique<net::ClientLoop>(fmt::format("remote-{}", i)));
}

RemoteLoops::RemoteLoops(std::unique_ptr<net::ClientLoop> loop, MakeChannel make)
    : make_channel_(std::move(make)), dns_(Duration::zero()) {
  loops_.push_back(std::move(loop));
}

size_t RemoteLoops::ForCaller() {
  for (size_t i = 0; i < server_loops_.size(); ++i) {
    if (server_loops_[i]->IsCurrent()) return loops_.size() + i;
  }
  return next_.fetch_add(1, std::memory_order_relaxed) % loops_.size();
}

std::shared_ptr<net::UnaryChannel> RemoteLoops::Connect(size_t index, net::ChannelOptions options) {
  if (make_channel_) return make_channel_(options.Address());
  return std::make_shared<net::GrpcChannel>(at(index), std::move(options));
}

void RemoteLoopsOwner::UseServerLoops(ServerLoops loops) {
  MutexLock lock(mutex_);
  server_loops_ = std::move(loops);
  // The watches of versions may have made it already. They use only loops of our own.
  if (const auto made = loops_.lock()) made->UseServerLoops(server_loops_);
}

std::shared_ptr<RemoteLoops> RemoteLoopsOwner::Get() {
  MutexLock lock(mutex_);
  std::shared_ptr<RemoteLoops> loops = loops_.lock();
  if (loops == nullptr) {
    loops_ = loops = std::make_shared<RemoteLoops>(count_, dns_time_limit_);
    loops->UseServerLoops(server_loops_);
  }
  return loops;
}

}  // namespace penstock::remote
