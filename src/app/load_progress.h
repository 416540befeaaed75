// SPDX-License-Identifier: Apache-2.0
// Says how far the load of the first list of models has come.
#pragma once

#include <cstddef>
#include <set>
#include <string>

#include "base/clock.h"

namespace penstock {

// A line with a bar at most once a second, and one at the end:
//   initial load [#######-------------] 23 of 64 models are ready, 1 failed
// One thread at a time.
class LoadProgress final {
 public:
  explicit LoadProgress(const Clock& clock) : clock_(clock), last_line_(clock.Now()) {}

  // A version of the model has become available, or has failed to load; there are so many models
  // now. Does nothing once all have been heard of.
  void Note(const std::string& model, bool is_ready, size_t models);

 private:
  std::string Line(size_t models) const;

  const Clock& clock_;
  SteadyTime last_line_;
  std::set<std::string> ready_;
  std::set<std::string> failed_;
  bool is_over_ = false;
};

}  // namespace penstock
