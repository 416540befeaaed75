// SPDX-License-Identifier: Apache-2.0
// The start reads files, and a file on a network file system that is gone blocks for ever. The main
// thread blocks all signals, so without this watch only SIGKILL would end such a server. The
// watch's thread sees the signal, gives the start a moment to end by itself, and then ends the
// process.
#include "app/start_watch.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>

#include "base/check.h"
#include "base/log.h"
#include "base/log_queue.h"

namespace penstock {

StartWatch::StartWatch(const sigset_t& stops, Duration time_to_end)
    : time_to_end_(time_to_end),
      signals_(signalfd(-1, &stops, SFD_CLOEXEC)),
      ended_(eventfd(0, EFD_CLOEXEC)),
      thread_([this] { Watch(); }) {}

StartWatch::~StartWatch() {
  PENSTOCK_CHECK(eventfd_write(ended_, 1) == 0, "an event counts one");
  thread_.join();
  close(signals_);
  close(ended_);
}

void StartWatch::Watch() {
  if (!WaitForSignal()) return;
  pollfd ended{.fd = ended_, .events = POLLIN, .revents = 0};
  const auto limit = std::chrono::ceil<std::chrono::milliseconds>(time_to_end_);
  const SteadyTime end = Clock::Real().Now() + limit;
  for (Duration left = limit; left > Duration::zero(); left = end - Clock::Real().Now()) {
    const auto wait = std::chrono::ceil<std::chrono::milliseconds>(left).count();
    // The start ended in time. The signal is still pending, and the server takes it.
    if (poll(&ended, 1, static_cast<int>(wait)) > 0) return;
  }
  PENSTOCK_LOG(kWarning,
               "stopped by a signal; the start did not end {} ms later, and is given up while {}",
               limit.count(), step_.load());
  FlushLog();
  _exit(0);
}

bool StartWatch::WaitForSignal() const {
  std::array<pollfd, 2> files{{{.fd = signals_, .events = POLLIN, .revents = 0},
                               {.fd = ended_, .events = POLLIN, .revents = 0}}};
  while (poll(files.data(), files.size(), -1) < 0) {
    if (errno != EINTR) return false;
  }
  // The signal is not read from the descriptor, so it stays pending for Signals::Wait. If the start
  // has ended too, that counts.
  return files[1].revents == 0;
}

}  // namespace penstock
