// SPDX-License-Identifier: Apache-2.0
// A bucket can hang: its host is unreachable, or it answers very slowly. With a few threads for all
// buckets, some that hang could stop the scans of all models. So a bucket that is silent for
// `slow_after` is slow, and slow buckets may use only some of the turns. If these are taken, the
// scan is cancelled and starts again later.
//
// This class only decides; it has no thread and no clock. The source calls Check at the times that
// NextCheck gives.
#include "sources/objectstore/scan_turns.h"

#include <algorithm>
#include <utility>

namespace penstock {
namespace {

int64_t Seconds(Duration time) {
  return std::chrono::duration_cast<std::chrono::seconds>(time).count();
}

}  // namespace

bool ScanTurns::MayBegin(const std::string& bucket) const {
  if (running_.size() >= options_.turns || running_.contains(bucket)) return false;
  return !slow_.contains(bucket) || SlowTurns() < options_.slow_turns;
}

std::shared_ptr<ScanTurn> ScanTurns::Begin(const std::string& bucket, SteadyTime now) {
  auto turn = std::make_shared<ScanTurn>();
  turn->heard = now;
  running_[bucket] = {turn, now, slow_.contains(bucket), false, {}};
  return turn;
}

void ScanTurns::Check(SteadyTime now) {
  for (auto& [bucket, scan] : running_) {
    if (scan.turn->is_cancelled) continue;
    scan.was_silent |= now - scan.turn->heard.load() >= options_.slow_after;
    if (now - scan.begun >= options_.time_limit) {
      scan.end.why = Error(StatusCode::kDeadlineExceeded,
                           "bucket '{}' could not be listed in {} s, which is "
                           "--object_store_list_timeout_seconds",
                           bucket, Seconds(options_.time_limit));
      scan.turn->is_cancelled = true;
    } else if (scan.was_silent && !scan.is_slow) {
      scan.is_slow = true;
      // It moves to the turns for slow buckets, if one is free. So its own turn is free for others.
      if (SlowTurns() <= options_.slow_turns) continue;
      scan.end = {Error(StatusCode::kDeadlineExceeded,
                        "bucket '{}' has not answered for {} s, and now waits for others that are "
                        "slow, too",
                        bucket, Seconds(options_.slow_after)),
                  true};
      scan.turn->is_cancelled = true;
    }
  }
}

SteadyTime ScanTurns::NextCheck() const {
  SteadyTime next = kNoDeadline;
  for (const auto& [bucket, scan] : running_) {
    if (scan.turn->is_cancelled) continue;
    next = std::min(next, scan.begun + options_.time_limit);
    if (scan.is_slow) continue;
    next = std::min(next, scan.turn->heard.load() + options_.slow_after);
  }
  return next;
}

void ScanTurns::CancelAll() {
  for (auto& [bucket, scan] : running_) scan.turn->is_cancelled = true;
}

ScanTurns::End ScanTurns::Finish(const std::string& bucket, SteadyTime now) {
  const Running scan = std::move(running_.extract(bucket).mapped());
  const bool is_slow = scan.was_silent || now - scan.turn->heard.load() >= options_.slow_after;
  if (is_slow) {
    slow_.insert(bucket);
  } else {
    slow_.erase(bucket);
  }
  return scan.end;
}

void ScanTurns::KeepOnly(const std::set<std::string>& buckets) {
  std::erase_if(slow_, [&](const std::string& bucket) { return !buckets.contains(bucket); });
}

size_t ScanTurns::SlowTurns() const {
  return static_cast<size_t>(std::ranges::count_if(running_, [](const auto& item) {
    return item.second.is_slow && !item.second.turn->is_cancelled;
  }));
}

}  // namespace penstock
