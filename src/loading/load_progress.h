// SPDX-License-Identifier: Apache-2.0
// Shows the progress of the initial load on the terminal or in the log.
#pragma once

#include <array>
#include <cstddef>
#include <map>
#include <string>

#include "base/clock.h"
#include "base/mutex.h"

namespace penstock {

// On a terminal it shows a bar below the log lines. Elsewhere it writes a log line, at most once a
// second. At the end it writes a log line in both cases:
//   loading models 23/64 [#######.............] 3 loading, 1 failed
//   initial load [#######-------------] 23 of 64 models are ready, 1 failed
// It shows nothing for a single model. Thread-safe.
class LoadProgress final {
 public:
  enum class State { kExpected, kLoading, kReady, kFailed };

  explicit LoadProgress(const Clock& clock) : clock_(clock), last_line_(clock.Now()) {}
  ~LoadProgress() { End(); }

  // Sets the state of a model. The first state must be kExpected; others are ignored before it. A
  // failed model that loads again still counts as failed until it is ready. When each model is
  // ready or has failed, the initial load is over. After that, only a failed model that becomes
  // ready gives a line.
  void Note(const std::string& model, State state) EXCLUDES(mutex_);
  // Removes a model that must not be loaded, or not any more.
  void Forget(const std::string& model) EXCLUDES(mutex_);
  // Ends the initial load, even if some models are still loading.
  void End() EXCLUDES(mutex_);

 private:
  void Publish() REQUIRES(mutex_);
  // Note, after the initial load.
  void NoteLate(const std::string& model, State state) REQUIRES(mutex_);
  size_t Count(State state) const REQUIRES(mutex_) { return counts_[static_cast<size_t>(state)]; }
  std::string Line() const REQUIRES(mutex_);
  std::string Bar(int columns) const REQUIRES(mutex_);

  const Clock& clock_;
  Mutex mutex_;
  std::map<std::string, State> models_ GUARDED_BY(mutex_);
  std::array<size_t, 4> counts_ GUARDED_BY(mutex_){};  // of models, by state
  SteadyTime last_line_ GUARDED_BY(mutex_);
  bool is_over_ GUARDED_BY(mutex_) = false;
};

}  // namespace penstock
