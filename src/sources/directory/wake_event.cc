// SPDX-License-Identifier: Apache-2.0
#include "sources/directory/wake_event.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdint>

#include "base/check.h"

namespace penstock {

WakeEvent::WakeEvent() : fd_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
  PENSTOCK_CHECK(fd_ >= 0, "no file descriptor is left for an event");
}

WakeEvent::~WakeEvent() { close(fd_); }

void WakeEvent::Notify() {
  const uint64_t one = 1;
  // Fails only if the counter is full, and then the wake-up is pending already.
  [[maybe_unused]] const ssize_t written = write(fd_, &one, sizeof one);
}

void WakeEvent::Wait(int other_fd, SteadyTime until) {
  // poll ignores a descriptor of -1.
  std::array<pollfd, 2> fds = {pollfd{fd_, POLLIN, 0}, pollfd{other_fd, POLLIN, 0}};
  const timespec* timeout = nullptr;
  timespec left;
  if (until != kNoDeadline) {
    const auto ns =
        std::max<int64_t>(0, std::chrono::nanoseconds(until - Clock::Real().Now()).count());
    left = {static_cast<time_t>(ns / 1'000'000'000), static_cast<long>(ns % 1'000'000'000)};
    timeout = &left;
  }
  ppoll(fds.data(), fds.size(), timeout, nullptr);
  // Takes back the notification, if there was one. The descriptor does not block, so without one
  // this returns at once.
  uint64_t count = 0;
  [[maybe_unused]] const ssize_t taken = read(fd_, &count, sizeof count);
}

}  // namespace penstock
