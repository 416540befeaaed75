// SPDX-License-Identifier: Apache-2.0
// What is promised of read and pread holds of those that runtimes find in this program, whatever
// the thread's priority.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdlib>
#include <string>
#include <thread>

#include "base/executor.h"

namespace penstock {
namespace {

constexpr size_t kBytes = 1'000'003;  // several pieces, and a part of one

class FileReadsTest : public testing::TestWithParam<int> {
 protected:
  FileReadsTest() {
    std::string path = testing::TempDir() + "file_reads_XXXXXX";
    file_ = mkstemp(path.data());
    unlink(path.c_str());
    for (size_t i = 0; i < kBytes; ++i) text_ += static_cast<char>(i * 7 + i / 251);
    EXPECT_EQ(write(file_, text_.data(), text_.size()), static_cast<ssize_t>(kBytes));
    lseek(file_, 0, SEEK_SET);
  }
  ~FileReadsTest() override { close(file_); }

  // On a thread of the priority in question.
  template <typename Body>
  static void Run(Body body) {
    std::thread([&] {
      SetThreadNice(GetParam());
      body();
    }).join();
  }

  int file_ = -1;
  std::string text_;
  std::string got_ = std::string(kBytes + 10, '\0');
};

INSTANTIATE_TEST_SUITE_P(Nice, FileReadsTest, testing::Values(0, 10));

TEST_P(FileReadsTest, AFileIsReadToItsEnd) {
  Run([&] {
    EXPECT_EQ(read(file_, got_.data(), kBytes + 10), static_cast<ssize_t>(kBytes));
    EXPECT_EQ(got_.substr(0, kBytes), text_);
    EXPECT_EQ(read(file_, got_.data(), kBytes), 0);
  });
}

TEST_P(FileReadsTest, APartIsReadAndThePositionStays) {
  Run([&] {
    constexpr size_t kFrom = 77'777;
    EXPECT_EQ(pread(file_, got_.data(), 500'000, kFrom), 500'000);
    EXPECT_EQ(got_.substr(0, 500'000), text_.substr(kFrom, 500'000));
    EXPECT_EQ(pread64(file_, got_.data(), kBytes, kFrom), static_cast<ssize_t>(kBytes - kFrom));
    EXPECT_EQ(lseek(file_, 0, SEEK_CUR), 0);
  });
}

TEST_P(FileReadsTest, APipeGivesWhatItHas) {
  Run([&] {
    std::array<int, 2> ends{};
    ASSERT_EQ(pipe2(ends.data(), O_NONBLOCK), 0);
    // More than a piece, which the reader must not wait to be followed by another.
    fcntl(ends[1], F_SETPIPE_SZ, 1 << 18);
    const ssize_t written = write(ends[1], text_.data(), 1 << 18);
    EXPECT_GT(written, 0);
    EXPECT_EQ(read(ends[0], got_.data(), kBytes), written);
    EXPECT_EQ(read(ends[0], got_.data(), kBytes), -1);
    EXPECT_EQ(errno, EAGAIN);
    close(ends[0]);
    close(ends[1]);
  });
}

TEST_P(FileReadsTest, ErrorsAreThoseOfTheSystem) {
  Run([&] {
    EXPECT_EQ(read(-1, got_.data(), kBytes), -1);
    EXPECT_EQ(errno, EBADF);
    EXPECT_EQ(pread(-1, got_.data(), kBytes, 0), -1);
    EXPECT_EQ(errno, EBADF);
    EXPECT_EQ(pread(file_, got_.data(), kBytes, -1), -1);
    EXPECT_EQ(errno, EINVAL);
  });
}

}  // namespace
}  // namespace penstock
