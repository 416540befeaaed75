// SPDX-License-Identifier: Apache-2.0
#include "base/terminal_line.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include <cstdlib>

namespace penstock {
namespace {

// Both ends of a pseudo-terminal.
class TerminalLineTest : public testing::Test {
 protected:
  TerminalLineTest() {
    screen_ = posix_openpt(O_RDWR | O_NOCTTY);
    EXPECT_EQ(grantpt(screen_), 0);
    EXPECT_EQ(unlockpt(screen_), 0);
    terminal_ = open(ptsname(screen_), O_RDWR | O_NOCTTY);
    termios attributes{};
    EXPECT_EQ(tcgetattr(terminal_, &attributes), 0);
    attributes.c_oflag &= ~static_cast<tcflag_t>(OPOST);  // line feeds stay line feeds
    EXPECT_EQ(tcsetattr(terminal_, TCSANOW, &attributes), 0);
    setenv("TERM", "xterm", 1);
  }
  ~TerminalLineTest() override {
    close(terminal_);
    close(screen_);
  }

  void SetColumns(unsigned short columns) const {
    const winsize size{.ws_row = 24, .ws_col = columns, .ws_xpixel = 0, .ws_ypixel = 0};
    EXPECT_EQ(ioctl(screen_, TIOCSWINSZ, &size), 0);
  }
  // What has been written since the last call.
  std::string Written() const {
    std::string text;
    pollfd ready{.fd = screen_, .events = POLLIN, .revents = 0};
    while (poll(&ready, 1, 0) == 1) {
      char bytes[256];
      const ssize_t count = read(screen_, bytes, sizeof(bytes));
      if (count <= 0) break;
      text.append(bytes, static_cast<size_t>(count));
    }
    return text;
  }

  int screen_ = -1;
  int terminal_ = -1;
};

TEST_F(TerminalLineTest, IsRedrawnBelowOtherOutput) {
  TerminalLine line(terminal_);
  line.WriteAbove("first\n");
  EXPECT_EQ(Written(), "first\n");
  line.Set("[#.]");
  EXPECT_EQ(Written(), "\r\x1b[K[#.]");
  line.Set("[#.]");
  EXPECT_EQ(Written(), "");
  line.WriteAbove("second\n");
  EXPECT_EQ(Written(), "\r\x1b[Ksecond\n[#.]");
  line.Set("");
  EXPECT_EQ(Written(), "\r\x1b[K");
  line.WriteAbove("third\n");
  EXPECT_EQ(Written(), "third\n");
}

TEST_F(TerminalLineTest, IsCutToTheWidthOfTheTerminal) {
  TerminalLine line(terminal_);
  EXPECT_EQ(line.Columns(), 80);  // a size that nobody has set
  SetColumns(5);
  EXPECT_EQ(line.Columns(), 5);
  line.Set("1234567");
  EXPECT_EQ(Written(), "\r\x1b[K1234");
  SetColumns(1);
  line.WriteAbove("all of it\n");
  EXPECT_EQ(Written(), "\r\x1b[Kall of it\n");
}

TEST_F(TerminalLineTest, NeedsATerminalThatCanErase) {
  EXPECT_TRUE(TerminalLine::IsPossible(terminal_));
  setenv("TERM", "dumb", 1);
  EXPECT_FALSE(TerminalLine::IsPossible(terminal_));
  unsetenv("TERM");
  EXPECT_FALSE(TerminalLine::IsPossible(terminal_));
  setenv("TERM", "xterm", 1);
  const int file = open("/dev/null", O_WRONLY);
  EXPECT_FALSE(TerminalLine::IsPossible(file));
  close(file);
}

}  // namespace
}  // namespace penstock
