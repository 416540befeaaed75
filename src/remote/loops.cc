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

std::shared_ptr<net::UnaryChannel> RemoteLoops::Connect(size_t index, net::ChannelOptions options) {
  if (make_channel_) return make_channel_(options.Address());
  return std::make_shared<net::GrpcChannel>(at(index), std::move(options));
}

std::shared_ptr<RemoteLoops> RemoteLoopsOwner::Get() {
  MutexLock lock(mutex_);
  std::shared_ptr<RemoteLoops> loops = loops_.lock();
  if (loops == nullptr) loops_ = loops = std::make_shared<RemoteLoops>(count_, dns_time_limit_);
  return loops;
}

}  // namespace penstock::remote
