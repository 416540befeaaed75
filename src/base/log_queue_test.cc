// SPDX-License-Identifier: Apache-2.0
#include "base/log_queue.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <array>
#include <string>
#include <thread>

#include "base/log.h"

namespace penstock {
namespace {

using testing::HasSubstr;
using testing::Not;

// Standard error is a small pipe that nobody reads before ReadAll. One thread.
class LogQueueTest : public testing::Test {
 protected:
  void SetUp() override {
    old_ = dup(STDERR_FILENO);
    ASSERT_EQ(pipe2(pipe_.data(), O_CLOEXEC), 0);
    ASSERT_GE(fcntl(pipe_[0], F_SETPIPE_SZ, 4096), 0);
    ASSERT_EQ(dup2(pipe_[1], STDERR_FILENO), STDERR_FILENO);
  }
  void TearDown() override {
    dup2(old_, STDERR_FILENO);
    for (const int file : {old_, pipe_[0]}) close(file);
  }

  // What has been logged.
  std::string ReadAll() {
    std::string text;
    std::thread reader([&] {
      std::array<char, 65536> chunk;
      for (ssize_t bytes; (bytes = read(pipe_[0], chunk.data(), chunk.size())) > 0;)
        text.append(chunk.data(), static_cast<size_t>(bytes));
    });
    for (int i = 0; i < 30; ++i) FlushLog();  // each waits for a second at most
    close(pipe_[1]);
    dup2(old_, STDERR_FILENO);
    reader.join();
    return text;
  }

  LogQueue queue_;
  int old_ = -1;
  std::array<int, 2> pipe_{};
};

TEST_F(LogQueueTest, UnreadLinesKeepTheirOrder) {
  for (int i = 0; i < 100; ++i)
    PENSTOCK_LOG(kError, "line {} {}", i, std::string(100, 'x'));  // far more than the pipe takes
  const std::string text = ReadAll();
  size_t position = 0;
  for (int i = 0; i < 100; ++i) {
    position = text.find("line " + std::to_string(i) + " ", position);
    ASSERT_NE(position, std::string::npos) << i;
  }
  EXPECT_THAT(text, Not(HasSubstr("were dropped")));
}

TEST_F(LogQueueTest, LinesBeyondTheBoundAreDroppedAndCounted) {
  for (int i = 0; i < 3000; ++i) PENSTOCK_LOG(kError, "{}", std::string(2900, 'x'));
  const std::string text = ReadAll();
  EXPECT_THAT(text, HasSubstr(" log lines were dropped, as nobody read standard error\n"));
}

TEST_F(LogQueueTest, ALongMessageIsCut) {
  PENSTOCK_LOG(kError, "{}", std::string(99'997, 'x') + "end");
  const std::string text = ReadAll();
  EXPECT_LT(text.size(), 4096u);
  EXPECT_THAT(text, HasSubstr("xxxend\n"));
  EXPECT_THAT(text, HasSubstr("xxx ... 97000 bytes are left out ... xxx"));
}

}  // namespace
}  // namespace penstock
