// SPDX-License-Identifier: Apache-2.0
#include "observe/line_writer.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <string>

#include "base/metrics/metrics.h"
#include "base/os/test_folder.h"

namespace penstock {
namespace {

class LineWriterTest : public testing::Test {
 protected:
  std::unique_ptr<LineWriter> Open(size_t queue_bytes_max = 1 << 20) {
    StatusOr<std::unique_ptr<LineWriter>> writer =
        LineWriter::Open({.path = path_,
                          .asked_by = "--file",
                          .queue_bytes_max = queue_bytes_max,
                          .move_check_interval = Duration::zero()},
                         dropped_);
    EXPECT_TRUE(writer.ok()) << writer.status();
    return *std::move(writer);
  }

  const TestFolder folder_;
  MetricsRegistry metrics_;
  Counter& dropped_ = metrics_.AddCounter("dropped", "h");
  std::string path_ = folder_ / "log";
};

TEST_F(LineWriterTest, WritesAllLinesInOrderBehindWhatIsThere) {
  folder_.Write("log", "before\n");
  {
    const auto writer = Open();
    writer->Write("one\n");
    writer->Write("two\n");
  }
  EXPECT_EQ(folder_.Read("log"), "before\none\ntwo\n");
  EXPECT_EQ(dropped_.Value(), 0u);
}

TEST_F(LineWriterTest, OthersMayNotReadANewFile) {
  Open();
  struct stat file {};
  ASSERT_EQ(stat(path_.c_str(), &file), 0);
  EXPECT_EQ(file.st_mode & 0777, 0600u);
}

TEST_F(LineWriterTest, AMovedFileIsMadeAgain) {
  {
    const auto writer = Open();
    std::filesystem::rename(path_, folder_ / "log.1");
    writer->Write("after\n");
  }
  EXPECT_EQ(folder_.Read("log.1"), "");
  EXPECT_EQ(folder_.Read("log"), "after\n");
}

TEST_F(LineWriterTest, LinesOverTheBoundAreDroppedAndCounted) {
  {
    const auto writer = Open(/*queue_bytes_max=*/4);
    writer->Write("too long\n");
    writer->Write("a\n");
  }
  EXPECT_EQ(folder_.Read("log"), "a\n");
  EXPECT_EQ(dropped_.Value(), 1u);
}

TEST_F(LineWriterTest, LinesThatCannotBeWrittenAreCounted) {
  path_ = "/dev/full";
  {
    const auto writer = Open();
    writer->Write("a\n");
    writer->Write("b\n");
  }
  EXPECT_EQ(dropped_.Value(), 2u);
}

TEST_F(LineWriterTest, APathThatCannotBeOpenedIsAnError) {
  for (const std::string& path : {folder_.path(), folder_ / "none/log"}) {
    const auto writer = LineWriter::Open({.path = path, .asked_by = "--file"}, dropped_);
    EXPECT_EQ(writer.status().code(), StatusCode::kInvalidArgument);
    EXPECT_NE(MessageOf(writer.status()).find("--file: cannot open " + path), std::string::npos);
  }
}

TEST_F(LineWriterTest, APipeThatNobodyReadsBlocksNobody) {
  signal(SIGPIPE, SIG_IGN);  // as the server does
  ASSERT_EQ(mkfifo(path_.c_str(), 0600), 0);
  EXPECT_FALSE(LineWriter::Open({.path = path_, .asked_by = "--file"}, dropped_).ok())
      << "nobody reads it";
  const int reader = open(path_.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC);
  {
    const auto writer = Open(/*queue_bytes_max=*/1 << 20);
    const std::string line = std::string(9999, 'x') + '\n';
    // More than the pipe and the queue take together.
    for (int i = 0; i < 300; ++i) writer->Write(line);
    EXPECT_GT(dropped_.Value(), 0u);
    close(reader);
  }
}

}  // namespace
}  // namespace penstock
