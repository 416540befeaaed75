// SPDX-License-Identifier: Apache-2.0
// A status line at the bottom of a terminal. It is redrawn in place, below all other output.
#pragma once

#include <string>
#include <string_view>

#include "base/mutex.h"

namespace penstock {

// Writes all of `text`. Ignores errors: there may be no reader.
void WriteToFile(int file, std::string_view text);

// Draws the line and the output above it, with the control sequences of ECMA-48. Write errors are
// ignored. Thread-safe.
class TerminalLine final {
 public:
  // IsPossible(file) must be true. The file stays open.
  explicit TerminalLine(int file) : file_(file) {}

  // True if the file is a terminal that can erase a line: TERM is set and not "dumb".
  static bool IsPossible(int file);

  // The width of the terminal now. 80 if the system does not say.
  int Columns() const;
  // Shows `line`, which must be ASCII, cut to the width of the terminal. Empty: shows none.
  void Set(std::string line) EXCLUDES(mutex_);
  // Writes whole lines above the status line.
  void WriteAbove(std::string_view lines) EXCLUDES(mutex_);

 private:
  // Erases the status line, writes `lines`, and draws the status line again.
  void Redraw(std::string_view lines) REQUIRES(mutex_);

  const int file_;
  Mutex mutex_;
  std::string line_ GUARDED_BY(mutex_);
};

}  // namespace penstock
