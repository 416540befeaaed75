// SPDX-License-Identifier: Apache-2.0
#include "remote/loops.h"

#include <fmt/format.h>

namespace penstock::remote {

RemoteLoops::RemoteLoops(int64_t count, Duration dns_time_limit) : dns_(dns_time_limit) {
  for (int64_t i = 0; i < count; ++i)
    loops_.push_back(std::make_unique<net::ClientLoop>(fmt::format("remote-{}", i)));
}

std::shared_ptr<RemoteLoops> RemoteLoopsOwner::Get() {
  MutexLock lock(mutex_);
  std::shared_ptr<RemoteLoops> loops = loops_.lock();
  if (loops == nullptr) loops_ = loops = std::make_shared<RemoteLoops>(count_, dns_time_limit_);
  return loops;
}

}  // namespace penstock::remote
