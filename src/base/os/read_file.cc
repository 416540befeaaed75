// SPDX-License-Identifier: Apache-2.0
#include "base/os/read_file.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstring>

#include "base/clock.h"

namespace penstock {
namespace {

// The time that a pipe has to give all of its text. The server does nothing else meanwhile.
constexpr auto kPipeTime = std::chrono::seconds(2);

// A file that is open for reading while this exists. One thread at a time.
class OpenFile final {
 public:
  // Without O_NONBLOCK the open of a pipe without a writer would block.
  explicit OpenFile(const std::string& path)
      : file_(open(path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC)) {}
  ~OpenFile() {
    if (file_ >= 0) close(file_);
  }
  OpenFile(const OpenFile&) = delete;
  OpenFile& operator=(const OpenFile&) = delete;

  int get() const { return file_; }
  bool IsPipe() const {
    struct stat info = {};
    return fstat(file_, &info) == 0 && S_ISFIFO(info.st_mode);
  }

 private:
  const int file_;
};

// Returns false if there was nothing to read until `end`, not even the end of the pipe.
bool WaitForPipe(int file, SteadyTime end) {
  pollfd waited{.fd = file, .events = POLLIN, .revents = 0};
  for (;;) {
    const auto left =
        std::chrono::ceil<std::chrono::milliseconds>(end - Clock::Real().Now()).count();
    const int ready = poll(&waited, 1, static_cast<int>(std::max<int64_t>(left, 0)));
    if (ready > 0) return true;
    if (ready == 0 || errno != EINTR) return false;
  }
}

}  // namespace

StatusOr<std::string> ReadWholeFile(const std::string& path, size_t bytes_max) {
  const OpenFile file(path);
  if (file.get() < 0) return InvalidArgument("{}", std::strerror(errno));
  const bool is_pipe = file.IsPipe();
  const SteadyTime end = Clock::Real().Now() + kPipeTime;
  std::string text;
  std::array<char, 65536> chunk;
  for (;;) {
    if (is_pipe && !WaitForPipe(file.get(), end)) {
      return InvalidArgument("it is a pipe, and its text did not end within {} s",
                             kPipeTime.count());
    }
    const ssize_t bytes = read(file.get(), chunk.data(), chunk.size());
    // EAGAIN: another reader of the pipe was faster, or poll woke up for nothing.
    if (bytes < 0 && (errno == EINTR || (is_pipe && errno == EAGAIN))) continue;
    if (bytes < 0) return InvalidArgument("{}", std::strerror(errno));
    if (bytes == 0) return text;
    text.append(chunk.data(), static_cast<size_t>(bytes));
    // Checked while reading: the size of a pipe, or of a file in /proc, is not known before.
    if (text.size() > bytes_max) return InvalidArgument("it has more than {} bytes", bytes_max);
  }
}

}  // namespace penstock
