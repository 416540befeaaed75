// SPDX-License-Identifier: Apache-2.0
#include "base/os/give_way.h"

#include <sched.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>

namespace penstock {
namespace {

// Often enough that a request waits less than a millisecond, rarely enough to cost only about 1 %.
constexpr long kPeriodNs = 200'000;
// SIGURG is ignored by default, and debuggers do not stop at it.
constexpr int kSignal = SIGURG;

void Yield(int) {
  // The handler interrupts any code, so it must leave errno as it was. sched_yield is a plain
  // system call, and safe in a handler.
  const int error = errno;
  sched_yield();
  errno = error;
}

bool HandleSignal() {
  struct sigaction action = {};
  action.sa_handler = Yield;
  action.sa_flags = SA_RESTART | SA_ONSTACK;  // threads of some runtimes have small stacks
  return sigaction(kSignal, &action, nullptr) == 0;
}

}  // namespace

GiveWay::GiveWay() {
  // Once for the process: a handler belongs to all threads, and the timer chooses the thread.
  static const bool is_handled = HandleSignal();
  sigevent event = {};
  event.sigev_notify = SIGEV_THREAD_ID;
  event.sigev_signo = kSignal;
  // A timer signals any thread of the process by default. This one must interrupt this thread.
  event._sigev_un._tid = static_cast<pid_t>(syscall(SYS_gettid));
  timer_t timer = {};
  if (!is_handled || timer_create(CLOCK_MONOTONIC, &event, &timer) != 0) return;
  timer_ = timer;
  const itimerspec period{.it_interval = {0, kPeriodNs}, .it_value = {0, kPeriodNs}};
  timer_settime(timer, 0, &period, nullptr);
}

GiveWay::~GiveWay() {
  if (timer_) timer_delete(*timer_);
}

}  // namespace penstock
