// SPDX-License-Identifier: Apache-2.0
#include "base/terminal_line.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <utility>

namespace penstock {
namespace {

constexpr int kColumnsUnknown = 80;
// Moves to the first column, and erases to the end of the line.
constexpr std::string_view kErase = "\r\x1b[K";

}  // namespace

void WriteToFile(int file, std::string_view text) {
  while (!text.empty()) {
    const ssize_t written = write(file, text.data(), text.size());
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) return;  // nowhere to report an error
    text.remove_prefix(static_cast<size_t>(written));
  }
}

bool TerminalLine::IsPossible(int file) {
  const char* const term = std::getenv("TERM");
  return isatty(file) == 1 && term != nullptr && *term != '\0' && std::string_view(term) != "dumb";
}

int TerminalLine::Columns() const {
  winsize size{};
  if (ioctl(file_, TIOCGWINSZ, &size) != 0 || size.ws_col == 0) return kColumnsUnknown;
  return size.ws_col;
}

void TerminalLine::Set(std::string line) {
  MutexLock lock(mutex_);
  if (line == line_) return;
  line_ = std::move(line);
  Redraw("");
}

void TerminalLine::WriteAbove(std::string_view lines) {
  MutexLock lock(mutex_);
  if (line_.empty()) return WriteToFile(file_, lines);
  Redraw(lines);
}

void TerminalLine::Redraw(std::string_view lines) {
  // One write for all, so that the line does not flicker.
  std::string text(kErase);
  text += lines;
  // Leave the last column empty: a character there makes some terminals wrap to the next line.
  text += std::string_view(line_).substr(0, static_cast<size_t>(Columns() - 1));
  WriteToFile(file_, text);
}

}  // namespace penstock
