// SPDX-License-Identifier: Apache-2.0
// A version that is still being copied must not be loaded, but nothing marks its end. So this file
// measures how long the files have been quiet. Two measures exist, and the longer one counts.
// `watched` is the time since the hash last changed, by our own clock: it is always true, but it
// starts only with the first scan. `age` is the time since the newest change, by the clock of the
// file system: it lets a version that was copied long ago load at the first scan.
//
// A rename into the final path needs no wait, because a program that renames has finished. Quiet
// files that lack something, such as variables without an index, are never complete.
#include "sources/directory/settling.h"

#include <algorithm>

namespace penstock {

void Settling::Scan(const FilesSeen& seen) {
  if (last_ != seen.stamp.hash) {
    last_ = seen.stamp.hash;
    last_since_ = seen.now;
  }
  const Duration watched = seen.now - last_since_;
  Duration age = seen.wall_now - seen.stamp.newest_change;
  // The server of a network file system has its own clock. If that is behind ours, files that just
  // changed look old.
  if (seen.is_on_network) age -= options_.network_clock_error;
  const Duration quiet = std::max(watched, age);
  const bool is_settled = quiet >= options_.settle_time;
  // A program may keep a file open for ever, or the event of its close may have been lost. After
  // the limit it counts no more.
  const bool has_writer = seen.has_writer && watched < options_.open_time_max;
  // The first case: the files are in the state that was complete before, so they need not settle
  // again.
  const bool is_quiet = complete_ == last_ || seen.was_renamed ||
                        options_.settle_time == Duration::zero() || (is_settled && !has_writer);
  missing_ = is_quiet ? seen.stamp.content.Missing() : "";
  const bool is_complete = is_quiet && missing_.empty();
  waits_for_writer_ = !is_quiet && is_settled;
  next_scan_.reset();
  if (is_complete) {
    complete_ = last_;
  } else if (is_quiet) {
    return;
  } else if (is_settled) {
    next_scan_ = last_since_ + options_.open_time_max;
  } else {
    next_scan_ = seen.now + (options_.settle_time - quiet);
  }
}

}  // namespace penstock
