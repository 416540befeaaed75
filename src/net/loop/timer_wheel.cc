// SPDX-License-Identifier: Apache-2.0
// How it works. This is a hashed timing wheel (Varghese and Lauck, 1987, scheme 6): an array of
// slots, one per millisecond, and a timer is in the list of the slot `tick mod 1024`. So arming and
// disarming take constant time. A timer that is more than 1024 ms ahead shares its slot with
// earlier ones; Run skips it until its tick has come.
//
// A bit map shows which slots are in use. NextRun finds the next one with a few word operations,
// and does not read the lists. So it may return a slot whose timers are all of a later round; then
// Run does nothing, and the loop has been woken once too often.
//
// A callback may arm, disarm or destroy any timer. Therefore Run first moves all due timers to the
// list `due_`, and then takes them from there one by one. Remove finds a timer in either list.
#include "net/loop/timer_wheel.h"

#include <algorithm>
#include <bit>

namespace penstock::net {
namespace {

using std::chrono::milliseconds;

constexpr int64_t kIsDue = -1;  // the tick of a timer that Run has moved to due_

int64_t FloorTick(SteadyTime time) {
  return std::chrono::floor<milliseconds>(time.time_since_epoch()).count();
}
int64_t CeilTick(SteadyTime time) {
  return std::chrono::ceil<milliseconds>(time.time_since_epoch()).count();
}
size_t SlotOf(int64_t tick, int64_t slots) { return static_cast<size_t>(tick & (slots - 1)); }

}  // namespace

TimerWheel::~TimerWheel() {
  for (WheelTimer*& slot : slots_)
    while (slot != nullptr) Remove(*slot);
}

void TimerWheel::Arm(WheelTimer& timer, SteadyTime when) {
  timer.Disarm();
  if (when == kNoDeadline) return;
  // Round up, so that a timer never runs early. A time that has passed goes to the next tick, since
  // Run will not come back to an earlier slot.
  timer.tick_ = std::max(CeilTick(when), last_tick_ + 1);
  const size_t slot = SlotOf(timer.tick_, kSlots);
  timer.wheel_ = this;
  timer.next_ = slots_[slot];
  if (timer.next_ != nullptr) timer.next_->previous_ = &timer;
  slots_[slot] = &timer;
  occupied_[slot / 64] |= uint64_t{1} << (slot % 64);
  ++count_;
}

void TimerWheel::Remove(WheelTimer& timer) {
  const size_t slot = SlotOf(timer.tick_, kSlots);
  WheelTimer*& head = timer.tick_ == kIsDue ? due_ : slots_[slot];
  if (timer.previous_ != nullptr) {
    timer.previous_->next_ = timer.next_;
  } else {
    head = timer.next_;
  }
  if (timer.next_ != nullptr) timer.next_->previous_ = timer.previous_;
  if (timer.tick_ != kIsDue && head == nullptr)
    occupied_[slot / 64] &= ~(uint64_t{1} << (slot % 64));
  timer.wheel_ = nullptr;
  timer.previous_ = timer.next_ = nullptr;
  --count_;
}

void TimerWheel::Run(SteadyTime now) {
  const int64_t now_tick = FloorTick(now);
  // After a pause of more than one round, each slot needs only one visit.
  const int64_t first = std::max(last_tick_ + 1, now_tick - kSlots + 1);
  last_tick_ = std::max(last_tick_, now_tick);
  for (int64_t tick = first; tick <= now_tick && count_ > 0; ++tick) {
    WheelTimer* next = nullptr;
    for (WheelTimer* timer = slots_[SlotOf(tick, kSlots)]; timer != nullptr; timer = next) {
      next = timer->next_;
      if (timer->tick_ > now_tick) continue;  // of a later round
      Remove(*timer);
      timer->wheel_ = this;
      timer->tick_ = kIsDue;
      timer->next_ = due_;
      if (due_ != nullptr) due_->previous_ = timer;
      due_ = timer;
      ++count_;
    }
  }
  while (due_ != nullptr) {
    WheelTimer* timer = due_;
    Remove(*timer);
    timer->OnTimer();
  }
}

SteadyTime TimerWheel::NextRun(SteadyTime now) const {
  if (count_ == 0) return kNoDeadline;
  const int64_t from = std::max(last_tick_, FloorTick(now) - kSlots) + 1;
  int64_t ahead = 0;
  while (ahead < kSlots) {
    const size_t slot = SlotOf(from + ahead, kSlots);
    const uint64_t word = occupied_[slot / 64] >> (slot % 64);
    if (word != 0) {
      ahead += std::countr_zero(word);
      break;
    }
    ahead += static_cast<int64_t>(64 - slot % 64);
  }
  return SteadyTime(milliseconds(from + ahead));
}

}  // namespace penstock::net
