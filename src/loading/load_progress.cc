// SPDX-License-Identifier: Apache-2.0
// The initial load can take minutes, and a person or a log shows its progress. It ends when no
// model is expected or loading any more, and it never begins again: a later reload is not the start
// of the server. So a model that had failed stays failed while it is tried again; otherwise one
// broken model would keep the initial load going for ever.
#include "loading/load_progress.h"

#include <algorithm>

#include "base/log.h"

namespace penstock {
namespace {

constexpr Duration kLineEvery = std::chrono::seconds(1);
constexpr int kLineBarLength = 20;
// Lengths of the bar on a terminal. A shorter bar would be useless.
constexpr int kBarLengthMin = 5;
constexpr int kBarLengthMax = 40;

std::string DrawBar(size_t done, size_t all, int length, char rest) {
  const size_t filled = std::min(done, all) * static_cast<size_t>(length) / all;
  return "[" + std::string(filled, '#') + std::string(static_cast<size_t>(length) - filled, rest) +
         "]";
}

}  // namespace

void LoadProgress::Note(const std::string& model, State state) {
  MutexLock lock(mutex_);
  if (is_over_) return NoteLate(model, state);
  if (state == State::kExpected) {
    if (models_.emplace(model, state).second) ++counts_[static_cast<size_t>(state)];
    return Publish();
  }
  const auto found = models_.find(model);
  // The model is no part of the initial load, for example because it loads on demand.
  if (found == models_.end()) return;
  State& known = found->second;
  if (known == State::kReady) return;
  // Otherwise the initial load would not end while a broken model is tried again and again.
  if (known == State::kFailed && state == State::kLoading) return;
  --counts_[static_cast<size_t>(known)];
  ++counts_[static_cast<size_t>(state)];
  known = state;
  Publish();
}

void LoadProgress::Forget(const std::string& model) {
  MutexLock lock(mutex_);
  const auto found = models_.find(model);
  if (found == models_.end()) return;
  --counts_[static_cast<size_t>(found->second)];
  models_.erase(found);
  if (!is_over_) Publish();
}

void LoadProgress::NoteLate(const std::string& model, State state) {
  const auto found = models_.find(model);
  // After the end only one thing is news: a model that had failed is ready after all.
  if (state != State::kReady || found == models_.end() || found->second != State::kFailed) return;
  --counts_[static_cast<size_t>(State::kFailed)];
  ++counts_[static_cast<size_t>(state)];
  found->second = state;
  if (models_.size() > 1) PENSTOCK_LOG(kInfo, "{}", Line());
}

void LoadProgress::End() {
  MutexLock lock(mutex_);
  if (!is_over_) SetLogStatus("");
  is_over_ = true;
}

void LoadProgress::Publish() {
  // The initial load is over as soon as no model is left to wait for. Later changes do not begin it
  // again.
  is_over_ = !models_.empty() && Count(State::kExpected) + Count(State::kLoading) == 0;
  const int columns = LogStatusColumns();
  const bool shows_bar = columns > 0 && !is_over_ && models_.size() > 1;
  SetLogStatus(shows_bar ? Bar(columns) : "");
  if (models_.size() < 2) return;
  const SteadyTime now = clock_.Now();
  // The bar shows the same, so with a bar only the last line is logged.
  if (!is_over_ && (shows_bar || now - last_line_ < kLineEvery)) return;
  last_line_ = now;
  PENSTOCK_LOG(kInfo, "{}", Line());
}

std::string LoadProgress::Line() const {
  const size_t ready = Count(State::kReady);
  std::string line =
      fmt::format("initial load {} {} of {} models are ready",
                  DrawBar(ready, models_.size(), kLineBarLength, '-'), ready, models_.size());
  if (const size_t failed = Count(State::kFailed); failed > 0)
    line += fmt::format(", {} failed", failed);
  return line;
}

std::string LoadProgress::Bar(int columns) const {
  const size_t ready = Count(State::kReady);
  const std::string start = fmt::format("loading models {}/{} ", ready, models_.size());
  std::string end = fmt::format("{} loading", Count(State::kLoading));
  if (const size_t failed = Count(State::kFailed); failed > 0)
    end += fmt::format(", {} failed", failed);
  // The two brackets of the bar, a space, and the last column, which stays free.
  constexpr int kBeside = 4;
  const int length =
      std::min(columns - static_cast<int>(start.size() + end.size()) - kBeside, kBarLengthMax);
  if (length < kBarLengthMin) return start + end;
  return start + DrawBar(ready, models_.size(), length, '.') + " " + end;
}

}  // namespace penstock
