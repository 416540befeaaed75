// SPDX-License-Identifier: Apache-2.0
#include "app/process_files.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

namespace penstock {
namespace {

TEST(ProcessFilesTest, ConnectionsLeaveSomeFilesToModels) {
  EXPECT_EQ(CapConnections(1000, 100'000), 1000);
  EXPECT_EQ(CapConnections(100'000, 10'000), 9744);
  EXPECT_EQ(CapConnections(100'000, 100), 75);
  EXPECT_EQ(CapConnections(100'000, 0), 1);
}

TEST(ProcessFilesTest, TheSoftLimitIsRaisedToTheHardOne) {
  rlimit limit = {};
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &limit), 0);
  const rlimit low = {100, limit.rlim_max};
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &low), 0);
  EXPECT_EQ(RaiseFileLimit(), limit.rlim_max);
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &limit), 0);
}

TEST(ProcessFilesTest, ClosedStandardFilesAreOpenedOnDevNull) {
  const pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    close(STDIN_FILENO);
    close(STDERR_FILENO);
    OpenStandardFiles();
    const bool are_open = fcntl(STDIN_FILENO, F_GETFD) >= 0 && fcntl(STDERR_FILENO, F_GETFD) >= 0;
    _exit(are_open ? 0 : 1);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << status;
}

}  // namespace
}  // namespace penstock
