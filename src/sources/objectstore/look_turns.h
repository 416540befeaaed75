// SPDX-License-Identifier: Apache-2.0
// Whose bucket may be listed now, so that buckets that do not answer cannot take all the turns.
#pragma once

#include <atomic>
#include <map>
#include <memory>
#include <set>
#include <string>

#include "base/clock.h"
#include "base/status.h"

namespace penstock {

struct LookTurnOptions {
  size_t turns = 4;       // buckets that are listed at a time
  size_t slow_turns = 2;  // of them, for those that were slow
  // A bucket is slow when nothing was heard of it for this time.
  Duration slow_after = std::chrono::seconds(5);
  Duration time_limit = std::chrono::seconds(120);  // of one look
};

// A look that is under way. Thread-safe.
struct LookTurn {
  std::atomic<SteadyTime> heard;           // when the last page came, or it began
  std::atomic<bool> is_cancelled = false;  // the look shall end
};

// One thread at a time.
class LookTurns final {
 public:
  explicit LookTurns(LookTurnOptions options) : options_(options) {}

  // False if the bucket is being listed, or there is no turn for it.
  bool MayBegin(const std::string& bucket) const;
  std::shared_ptr<LookTurn> Begin(const std::string& bucket, SteadyTime now);

  // Cancels looks that take too long, and those of slow buckets for which there are no turns.
  void Check(SteadyTime now);
  // When there will be something to check.
  SteadyTime NextCheck() const;
  void CancelAll();

  // How the look ended by Check. OK: it did not.
  struct End {
    Status why;
    bool is_due_again = false;  // it only lost its turn
  };
  End Finish(const std::string& bucket, SteadyTime now);

  // Forgets what is known of all other buckets.
  void KeepOnly(const std::set<std::string>& buckets);

 private:
  struct Running {
    std::shared_ptr<LookTurn> turn;
    SteadyTime begun;
    bool is_slow = false;     // takes one of the turns of slow ones
    bool was_silent = false;  // was found to be slow in this look
    End end;
  };
  size_t SlowTurns() const;

  const LookTurnOptions options_;
  std::map<std::string, Running> running_;  // by bucket
  std::set<std::string> slow_;              // buckets that were slow in their last look
};

}  // namespace penstock
