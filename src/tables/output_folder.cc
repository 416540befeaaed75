// SPDX-License-Identifier: Apache-2.0
#include "tables/output_folder.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <system_error>
#include <utility>

#include "base/encoding/crc32c.h"

namespace penstock::tables {
namespace {

namespace fs = std::filesystem;

constexpr size_t kWriteBytes = 1 << 20;

}  // namespace

OutputFile::OutputFile(std::string path)
    : path_(std::move(path)),
      file_(open(path_.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644)) {}

OutputFile::~OutputFile() {
  if (file_ >= 0) close(file_);
}

Status OutputFile::Append(std::string_view bytes) {
  buffer_ += bytes;
  return buffer_.size() < kWriteBytes ? OkStatus() : Write();
}

Status OutputFile::Finish() {
  TRY(Write());
  return fsync(file_) == 0 ? OkStatus() : CannotWrite();
}

Status OutputFile::Write() {
  checksum_ = Crc32c(buffer_, checksum_);
  std::string_view rest = buffer_;
  while (!rest.empty()) {
    const ssize_t bytes = write(file_, rest.data(), rest.size());
    if (bytes < 0 && errno == EINTR) continue;
    if (bytes <= 0) return CannotWrite();
    rest.remove_prefix(static_cast<size_t>(bytes));
  }
  buffer_.clear();
  return OkStatus();
}

Status OutputFile::CannotWrite() const {
  return Error(StatusCode::kInternal, "cannot write {}: {}", path_, std::strerror(errno));
}

UnfinishedFolder::UnfinishedFolder(const fs::path& final_path) : final_path_(final_path) {
  path_ = final_path_.parent_path() / ("." + final_path_.filename().string() + ".building");
}

UnfinishedFolder::~UnfinishedFolder() {
  std::error_code ignored;
  if (is_kept_) return;
  fs::remove_all(path_, ignored);
  // A folder that somebody has put something into stays.
  for (const fs::path& parent : made_parents_) fs::remove(parent, ignored);
}

Status UnfinishedFolder::Make() {
  std::error_code error;
  // An earlier attempt may have been killed.
  fs::remove_all(path_, error);
  std::error_code ignored;
  for (fs::path parent = path_.parent_path(); !parent.empty() && !fs::exists(parent, ignored);
       parent = parent.parent_path())
    made_parents_.push_back(parent);
  if (!error) fs::create_directories(path_, error);
  if (!error) return OkStatus();
  return Error(StatusCode::kInternal, "cannot make {}: {}", path_.string(), error.message());
}

Status UnfinishedFolder::Keep() {
  std::error_code error;
  fs::rename(path_, final_path_, error);
  is_kept_ = !error;
  if (is_kept_) return OkStatus();
  return Error(StatusCode::kInternal, "cannot rename {} to {}: {}", path_.string(),
               final_path_.string(), error.message());
}

}  // namespace penstock::tables
