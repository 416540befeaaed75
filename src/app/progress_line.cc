// SPDX-License-Identifier: Apache-2.0
#include "app/progress_line.h"

#include <fmt/format.h>
#include <unistd.h>

#include <chrono>

namespace penstock {
namespace {

constexpr Duration kOnTerminal = std::chrono::milliseconds(100);
constexpr Duration kBetweenLines = std::chrono::seconds(10);
constexpr int kBarLength = 30;

}  // namespace

ProgressLine::ProgressLine(WithoutTerminal without)
    : line_(STDERR_FILENO),
      is_terminal_(TerminalLine::IsPossible(STDERR_FILENO)),
      writes_lines_(!is_terminal_ && without == WithoutTerminal::kLines),
      start_(Clock::Real().Now()),
      next_(start_) {
  // A command that is quick says nothing but its result.
  if (writes_lines_) next_ += kBetweenLines;
}

ProgressLine::~ProgressLine() {
  if (is_terminal_) line_.Set("");
}

void ProgressLine::Show(double part, std::string_view text) {
  const SteadyTime now = Clock::Real().Now();
  if ((!is_terminal_ && !writes_lines_) || now < next_) return;
  next_ = now + (is_terminal_ ? kOnTerminal : kBetweenLines);
  const double seconds = std::chrono::duration<double>(now - start_).count();
  const double left = part > 0 ? seconds / part - seconds : 0;
  const std::string tail = fmt::format("{:3.0f} %  {}  {:.0f} s left", part * 100, text, left);
  if (writes_lines_) return fmt::print(stderr, "{}\n", tail);
  const int done = static_cast<int>(part * kBarLength);
  line_.Set(fmt::format("[{:#<{}}{:.<{}}] {}", "", done, "", kBarLength - done, tail));
}

void ProgressLine::ShowStep(std::string_view text) {
  if (is_terminal_) line_.Set(std::string(text));
  if (writes_lines_ && Clock::Real().Now() >= next_) fmt::print(stderr, "{}\n", text);
}

}  // namespace penstock
