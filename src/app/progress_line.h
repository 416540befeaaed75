// SPDX-License-Identifier: Apache-2.0
// How far a command is, on standard error.
#pragma once

#include <string_view>

#include "base/clock.h"
#include "base/terminal_line.h"

namespace penstock {

// Shows a bar at the bottom of a terminal. If standard error is none, a line now and then, or
// nothing. One thread at a time.
class ProgressLine final {
 public:
  enum class WithoutTerminal { kNothing, kLines };

  explicit ProgressLine(WithoutTerminal without);
  ~ProgressLine();
  ProgressLine(const ProgressLine&) = delete;
  ProgressLine& operator=(const ProgressLine&) = delete;

  // `part` is from 0 to 1; `text` says more, such as how many rows are done.
  void Show(double part, std::string_view text);
  // Shows a text in place of the bar.
  void ShowStep(std::string_view text);

 private:
  TerminalLine line_;
  const bool is_terminal_;
  const bool writes_lines_;
  const SteadyTime start_;
  SteadyTime next_;
};

}  // namespace penstock
