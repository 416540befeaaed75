// SPDX-License-Identifier: Apache-2.0
// A line at the bottom of a terminal that is redrawn in place, below what else is written there.
#pragma once

#include <string>
#include <string_view>

#include "base/mutex.h"

namespace penstock {

// Writes all of `text`; if nobody can read it, that is so.
void WriteToFile(int file, std::string_view text);

// Thread-safe.
class TerminalLine final {
 public:
  // `file`: see IsPossible. It stays open.
  explicit TerminalLine(int file) : file_(file) {}

  // True if the file is a terminal that can erase a line: TERM is set and not "dumb".
  static bool IsPossible(int file);

  int Columns() const;
  // Shows `line`, of ASCII characters, as far as the terminal is wide; empty: none.
  void Set(std::string line) EXCLUDES(mutex_);
  // Writes whole lines above it.
  void WriteAbove(std::string_view lines) EXCLUDES(mutex_);

 private:
  // Erases the line, writes `lines`, and draws it again.
  void Redraw(std::string_view lines) REQUIRES(mutex_);

  const int file_;
  Mutex mutex_;
  std::string line_ GUARDED_BY(mutex_);
};

}  // namespace penstock
