// SPDX-License-Identifier: Apache-2.0
#include "app/load_progress.h"

#include <algorithm>

#include "base/log.h"

namespace penstock {
namespace {

constexpr Duration kLineEvery = std::chrono::seconds(1);
constexpr size_t kBarLength = 20;

}  // namespace

void LoadProgress::Note(const std::string& model, bool is_ready, size_t models) {
  if (is_over_) return;
  (is_ready ? ready_ : failed_).insert(model);
  if (is_ready) failed_.erase(model);
  const SteadyTime now = clock_.Now();
  is_over_ = ready_.size() + failed_.size() >= models;
  if (models < 2 || (!is_over_ && now - last_line_ < kLineEvery)) return;
  last_line_ = now;
  PENSTOCK_LOG(kInfo, "{}", Line(models));
}

std::string LoadProgress::Line(size_t models) const {
  const size_t done = std::min(kBarLength, ready_.size() * kBarLength / models);
  std::string line =
      fmt::format("initial load [{}{}] {} of {} models are ready", std::string(done, '#'),
                  std::string(kBarLength - done, '-'), ready_.size(), models);
  if (!failed_.empty()) line += fmt::format(", {} failed", failed_.size());
  return line;
}

}  // namespace penstock
