// SPDX-License-Identifier: Apache-2.0
// Decides which buckets may be listed now. Buckets that do not answer must not block the others.
#pragma once

#include <atomic>
#include <map>
#include <memory>
#include <set>
#include <string>

#include "base/clock.h"
#include "base/status.h"

namespace penstock {

// How many buckets are listed at a time, and when one counts as slow.
struct ScanTurnOptions {
  size_t turns = 4;       // buckets that are listed at the same time
  size_t slow_turns = 2;  // of these, for buckets that were slow
  // A bucket is slow if it sends nothing for this time.
  Duration slow_after = std::chrono::seconds(5);
  Duration time_limit = std::chrono::seconds(120);  // of one scan
};

// A running scan. Thread-safe.
struct ScanTurn {
  std::atomic<SteadyTime> heard;           // when the last page arrived, or the scan began
  std::atomic<bool> is_cancelled = false;  // the scan must end
};

// Gives turns to scans, at most one a bucket. A bucket that is slow moves to the few turns for slow
// ones, so most turns stay free for the others.
//
//   if (turns.MayBegin(bucket)) turn = turns.Begin(bucket, now);
//   ...                                    // the scan's thread: turn->heard = now, after each page
//   turns.Check(now);                      // at NextCheck()
//   const auto end = turns.Finish(bucket, now);
//
// One thread at a time.
class ScanTurns final {
 public:
  explicit ScanTurns(ScanTurnOptions options) : options_(options) {}

  // False if the bucket is being listed, or has no turn now.
  bool MayBegin(const std::string& bucket) const;
  // Takes a turn. Call it only if MayBegin. The scan's thread updates `heard` and obeys
  // `is_cancelled`.
  std::shared_ptr<ScanTurn> Begin(const std::string& bucket, SteadyTime now);

  // Cancels scans that take too long, and scans of slow buckets for which there is no turn.
  void Check(SteadyTime now);
  // The time of the next Check.
  SteadyTime NextCheck() const;
  void CancelAll();

  // How Check ended the scan. OK: it did not.
  struct End {
    Status why;
    bool is_due_again = false;  // the scan is not done: it only lost its turn
  };
  // The scan has ended. Remembers whether the bucket was slow, for its next turn.
  End Finish(const std::string& bucket, SteadyTime now);

  // Forgets the state of all other buckets.
  void KeepOnly(const std::set<std::string>& buckets);

 private:
  struct Running {
    std::shared_ptr<ScanTurn> turn;
    SteadyTime begun;
    bool is_slow = false;     // uses one of the turns of slow buckets
    bool was_silent = false;  // the bucket was slow during this scan
    End end;
  };
  size_t SlowTurns() const;

  const ScanTurnOptions options_;
  std::map<std::string, Running> running_;  // by bucket
  std::set<std::string> slow_;              // buckets that were slow in their last scan
};

}  // namespace penstock
