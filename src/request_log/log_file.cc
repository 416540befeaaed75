// SPDX-License-Identifier: Apache-2.0
#include "request_log/log_file.h"

#include <fcntl.h>
#include <fmt/chrono.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <cstdio>
#include <ctime>
#include <system_error>

namespace penstock {
namespace {

constexpr std::string_view kOpenSuffix = ".open";
constexpr size_t kPiecesAtOnce = 64;

// Unique in this process.
uint64_t NextNumber() {
  static std::atomic<uint64_t> next{1};
  return next.fetch_add(1, std::memory_order_relaxed);
}

}  // namespace

Status LogFile::Failed(std::string_view step) {
  const std::string why = std::generic_category().message(errno);
  return Error(StatusCode::kInternal, "the request log {}{} could not be {}: {}", path_,
               kOpenSuffix, step, why);
}

Status LogFile::Open() {
  path_ = fmt::format("{}/{}-{:%Y%m%dT%H%M%SZ}-{}-{}.{}", options_.directory, prefix_,
                      fmt::gmtime(std::time(nullptr)), getpid(), NextNumber(),
                      format_ == RequestLogFormat::kTfRecord ? "tfrecord" : "jsonl");
  const std::string open_path = path_ + std::string(kOpenSuffix);
  constexpr int kFlags = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC;
  file_ = open(open_path.c_str(), kFlags, 0600);
  if (file_ < 0) return Failed("opened");
  bytes_ = 0;
  opened_ = clock_.Now();
  return OkStatus();
}

Status LogFile::Write(std::span<const std::string_view> pieces) {
  // Somebody has removed the file or its folder: what is written there is lost.
  if (struct stat state; file_ >= 0 && fstat(file_, &state) == 0 && state.st_nlink == 0)
    close(std::exchange(file_, -1));
  if (file_ < 0) TRY(Open());
  uint64_t written = 0;
  size_t skipped = 0;  // bytes of the first piece that are written
  while (!pieces.empty()) {
    std::array<iovec, kPiecesAtOnce> vector;
    const size_t count = std::min(pieces.size(), vector.size());
    for (size_t i = 0; i < count; ++i) {
      const std::string_view piece = pieces[i].substr(i == 0 ? skipped : 0);
      vector[i] = {const_cast<char*>(piece.data()), piece.size()};
    }
    const ssize_t result = writev(file_, vector.data(), static_cast<int>(count));
    if (result < 0 && errno == EINTR) continue;
    if (result < 0) {
      const Status error = Failed("written");
      // A part of a record would make the whole file unreadable. The file goes on, because a disk
      // that is full would otherwise get a file for each record that fails.
      const auto end = static_cast<off_t>(bytes_);
      if (ftruncate(file_, end) != 0 || lseek(file_, end, SEEK_SET) != end)
        close(std::exchange(file_, -1));
      return error;
    }
    written += static_cast<size_t>(result);
    skipped += static_cast<size_t>(result);
    while (!pieces.empty() && skipped >= pieces.front().size()) {
      skipped -= pieces.front().size();
      pieces = pieces.subspan(1);
    }
  }
  bytes_ += written;
  return OkStatus();
}

SteadyTime LogFile::rotation_due() const {
  return file_ < 0 ? kNoDeadline : opened_ + options_.file_time_max;
}

Status LogFile::RotateIfDue() {
  if (file_ < 0) return OkStatus();
  if (bytes_ < options_.file_bytes_max && clock_.Now() < rotation_due()) return OkStatus();
  return Close();
}

Status LogFile::Close() {
  if (file_ < 0) return OkStatus();
  if (close(std::exchange(file_, -1)) != 0) return Failed("closed");
  const std::string open_path = path_ + std::string(kOpenSuffix);
  if (bytes_ == 0) return unlink(open_path.c_str()) == 0 ? OkStatus() : Failed("removed");
  if (std::rename(open_path.c_str(), path_.c_str()) != 0) return Failed("renamed");
  return OkStatus();
}

}  // namespace penstock
