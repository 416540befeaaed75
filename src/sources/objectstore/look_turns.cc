// SPDX-License-Identifier: Apache-2.0
#include "sources/objectstore/look_turns.h"

#include <algorithm>
#include <utility>

namespace penstock {
namespace {

int64_t Seconds(Duration time) {
  return std::chrono::duration_cast<std::chrono::seconds>(time).count();
}

}  // namespace

bool LookTurns::MayBegin(const std::string& bucket) const {
  if (running_.size() >= options_.turns || running_.contains(bucket)) return false;
  return !slow_.contains(bucket) || SlowTurns() < options_.slow_turns;
}

std::shared_ptr<LookTurn> LookTurns::Begin(const std::string& bucket, SteadyTime now) {
  auto turn = std::make_shared<LookTurn>();
  turn->heard = now;
  running_[bucket] = {turn, now, slow_.contains(bucket), false, {}};
  return turn;
}

void LookTurns::Check(SteadyTime now) {
  for (auto& [bucket, look] : running_) {
    if (look.turn->is_cancelled) continue;
    look.was_silent |= now - look.turn->heard.load() >= options_.slow_after;
    if (now - look.begun >= options_.time_limit) {
      look.end.why = Error(StatusCode::kDeadlineExceeded,
                           "bucket '{}' could not be listed in {} s, which is "
                           "--object_store_list_timeout_seconds",
                           bucket, Seconds(options_.time_limit));
      look.turn->is_cancelled = true;
    } else if (look.was_silent && !look.is_slow) {
      look.is_slow = true;
      if (SlowTurns() <= options_.slow_turns) continue;
      look.end = {Error(StatusCode::kDeadlineExceeded,
                        "bucket '{}' has not answered for {} s, and now waits for others that are "
                        "slow, too",
                        bucket, Seconds(options_.slow_after)),
                  true};
      look.turn->is_cancelled = true;
    }
  }
}

SteadyTime LookTurns::NextCheck() const {
  SteadyTime next = kNoDeadline;
  for (const auto& [bucket, look] : running_) {
    if (look.turn->is_cancelled) continue;
    next = std::min(next, look.begun + options_.time_limit);
    if (look.is_slow) continue;
    next = std::min(next, look.turn->heard.load() + options_.slow_after);
  }
  return next;
}

void LookTurns::CancelAll() {
  for (auto& [bucket, look] : running_) look.turn->is_cancelled = true;
}

LookTurns::End LookTurns::Finish(const std::string& bucket, SteadyTime now) {
  const Running look = std::move(running_.extract(bucket).mapped());
  const bool is_slow = look.was_silent || now - look.turn->heard.load() >= options_.slow_after;
  if (is_slow) {
    slow_.insert(bucket);
  } else {
    slow_.erase(bucket);
  }
  return look.end;
}

void LookTurns::KeepOnly(const std::set<std::string>& buckets) {
  std::erase_if(slow_, [&](const std::string& bucket) { return !buckets.contains(bucket); });
}

size_t LookTurns::SlowTurns() const {
  return static_cast<size_t>(std::ranges::count_if(running_, [](const auto& item) {
    return item.second.is_slow && !item.second.turn->is_cancelled;
  }));
}

}  // namespace penstock
