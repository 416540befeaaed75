// SPDX-License-Identifier: Apache-2.0
// Says how far the load of the first list of models has come.
#pragma once

#include <array>
#include <cstddef>
#include <map>
#include <string>

#include "base/clock.h"
#include "base/mutex.h"

namespace penstock {

// On a terminal by a bar below the log lines, else by a log line at most once a second, and by one
// at the end:
//   loading models 23/64 [#######.............] 3 loading, 1 failed
//   initial load [#######-------------] 23 of 64 models are ready, 1 failed
// Nothing for a single model. Thread-safe.
class LoadProgress final {
 public:
  enum class State { kExpected, kLoading, kReady, kFailed };

  explicit LoadProgress(const Clock& clock) : clock_(clock), last_line_(clock.Now()) {}
  ~LoadProgress() { End(); }

  // What has become of a model; one that has failed is not said to be loaded again. The others do
  // nothing for a model that was not kExpected first. Once each is ready or has failed, the initial
  // load is over. After that only a model that had failed and becomes ready gives a line.
  void Note(const std::string& model, State state) EXCLUDES(mutex_);
  // It is not, or no longer, one that shall be loaded.
  void Forget(const std::string& model) EXCLUDES(mutex_);
  // The initial load is over, whatever has become of it.
  void End() EXCLUDES(mutex_);

 private:
  void Tell() REQUIRES(mutex_);
  // After the initial load.
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
